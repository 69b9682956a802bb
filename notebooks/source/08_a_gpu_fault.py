# %% [markdown]
# # 08 A GPU fault
#
# **How does a GPU get from a missing entry to running again?**
#
# About 40 minutes. It needs notebooks 00 to 04; 05 to 07 help.

# %% [markdown]
# ## You will be able to
#
# * **list** the steps of a GPU fault in their order,
# * **compute** which pages one fault serves, and how many faults an access pattern takes,
# * **tell** which faults are dropped, which are served, and which are fatal.

# %% [markdown]
# ## Setup
#
# With *xnack* on, a GPU that finds no entry in its page table reports a fault and tries again, until there is one. All processes of this notebook have it
# on. `filled` makes a buffer whose pages are all in RAM; `told` adds up what a log says of faults.

# %%
import svmlab as sl
from svmlab.course import check, compare, predict
from svmlab.widgets import FaultStepper


# %%
def filled(p, size="4 MiB", **options):
    a = p.mmap(size, name="a", **options)
    a[:] = 7
    return a


def told(p):
    dropped = p.log.field("page_fault_dropped", "count").sum()
    moved = p.log.field("migrate_end", "npages").sum()
    return f"faults served: {p.log.count('page_fault_end')}, dropped: {dropped}, pages moved: {moved}"


# %% [markdown]
# ## Warm-up
#
# Two questions on earlier notebooks.
#
# 1. xnack is *off*. gpu0 reads a buffer that no call ever registered. What happens: `"it waits"`, `"it is served"` or `"it is fatal"`?
# 2. xnack is on. A range in RAM prefers gpu1, which is in the hive of gpu0. gpu0 takes a fault on it. Where do its pages go: `"RAM"`, `"gpu0"` or `"gpu1"`?

# %% tags=["stub"]
outcome = ...
place = ...
check("08.w1", outcome)
check("08.w2", place)

# %% tags=["solution"]
outcome = "it is fatal"
place = "gpu1"
check("08.w1", outcome)
check("08.w2", place)

# %% [markdown]
# ## Predict
#
# xnack is on, and all pages are in RAM. A *wave* is a group of GPU threads that run in step.
#
# * `moved`: no call ever named this buffer of 1024 pages. gpu0 reads one page of it. How many pages move to its VRAM? `"none"`, `"1"`, `"512"` or `"1024"`.
# * `served`: 1000 waves read the same page at the same time. How many faults does the driver serve? `"1"` or `"1000"`.
# * `slower`: gpu0 reads 64 pages in order. Once a fault serves one page, once it serves all 64. How much longer does the first take? `"about 10 times"`,
#   `"about 64 times"` or `"about 1000 times"`.
# * `heap`: a process's heap, which no call named. gpu0 reads a page of it. Where is that page then? `"RAM"` or `"VRAM of gpu0"`.

# %% tags=["stub"]
mine = predict("08.p1", moved=..., served=..., slower=..., heap=...)

# %% tags=["solution"]
mine = predict("08.p1", moved="512", served="1", slower="about 1000 times", heap="RAM")

# %% [markdown]
# ## Run
#
# ### One touch
#
# A call registers the buffer; gpu0 gets access, which with xnack on it would have anyway. 2 ms pass (why, you will see below). Then gpu0 reads page 5.

# %%
p = sl.Process("mi210-two-hives", xnack=True)
a = filled(p)
p.set_attr(a, access=["gpu0"])
p.advance("2 ms")
before = len(p.log)
p.gpu(0).touch(a.pages(5))
sl.show(sl.timeline(p, since=before))
sl.show(sl.pagemap(p, a))

# %% [markdown]
# The touch waits for a third of a millisecond, and nearly all of that is a migration: steps 1 to 5 of notebook 04. Step 6, the mapping, is done by the fault
# itself. No queue is stopped: only work that needs the page waits. Around the migration the driver leaves these lines in the log:

# %%
for kind in ("page_fault_start", "decision", "migrate_end", "map_to_gpu", "page_fault_end", "gpu_work_end"):
    print(p.log.events(kind)[-1])
print(sl.why(p.log.events("map_to_gpu")[-1]))

# %% [markdown]
# The last lines are a *chain of causes*: why did gpu0 get its entries? Because it had faulted, and nothing else.
#
# ### The steps of the driver
#
# The log does not tell of locks and of questions whose answer is "go on". The mechanisms themselves do. First the outer one, then the part that it calls
# *restore*:

# %%
print(sl.views.table(sl.steps("serve_gpu_fault")))
print(sl.views.table(sl.steps("restore")))

# %% [markdown]
# * Step 2: `mmap_lock` keeps the mappings of the process as they are, the *svms lock* its list of ranges. For reading, several may hold the first one.
# * Step 3: a report is *stale* if somebody has unmapped the memory since; notebook 10 has such a case.
# * Step 5: the `migrate_mutex` of a range lets one migration of it happen at a time. Whoever waited for it asks only now whether the fault is still
#   needed, since the owner before may have served it. A *VMA* is one mapping of the process; it may forbid writing.
# * Step 6: `EAGAIN` means that the pages changed meanwhile. The GPU still has no entry, so it reports again.
#
# Nobody tells the GPU "go on". It repeats its access, and one time there is an entry.
#
# ### Which pages one fault serves
#
# The *block* of a fault has 2^granularity pages and begins at a multiple of that. It ends where the range ends. Here a range has pages 10 to 49 and
# granularity 4, so blocks of 16 pages; gpu0 touches four of its pages, with some time between.

# %%
p = sl.Process("mi210-two-hives", xnack=True)
a = filled(p, "256 KiB")
p.set_attr(a.pages(10, 40), granularity=4)
for page in (12, 20, 30, 49):
    p.advance("3 ms")
    p.gpu(0).touch(a.pages(page))
zero = a.pages(0).start
for mapped in p.log.events("map_to_gpu"):
    print(f"pages {mapped.start - zero} to {mapped.last - zero}")
print(told(p))
sl.show(sl.pagemap(p, a))

# %% [markdown]
# Four touches, three faults: page 30 came with page 20. The first block is cut at page 10 and the last at page 49, although blocks reach from 0 to 15 and from 48
# to 63. Pages 32 to 47 were never touched, so they are in RAM and gpu0 has no entries for them.
#
# ### A thousand waves
#
# A GPU runs many waves side by side. Each that finds no entry reports for itself:

# %%
p = sl.Process("mi210-two-hives", xnack=True)
a = filled(p)
p.set_attr(a, access=["gpu0"])
p.advance("2 ms")
before = len(p.log)
p.gpu(0).touch(a.pages(5), waves=1000)
p.run(for_ns="1 ms")
print(told(p))
print(p.log.events("page_fault_dropped")[-1])
sl.show(sl.timeline(p, since=before))

# %% [markdown]
# One report is served, and 999 are *duplicates*: they wait in a ring of interrupts until the driver reads them, after the work is done. How does it know? It has
# one rule: a range that was mapped less than 2 ms ago takes no fault. A dropped report costs little, and nothing is lost by it. If a GPU still needs an
# entry, it reports again.
#
# ### The 2 ms rule is about the range
#
# Not about the page. A single wave reads 64 pages in order, each time with another granularity.

# %%
for granularity in (0, 3, 6):
    p = sl.Process("mi210-two-hives", xnack=True)
    a = filled(p, "256 KiB")
    p.set_attr(a, granularity=granularity)
    p.advance("2 ms")
    begin = p.now
    p.gpu(0).touch(a)
    print(f"granularity {granularity}: {(p.now - begin) / 1e6:>6.2f} ms; {told(p)}")

# %% [markdown]
# All 64 pages move each time. With one fault that takes 0.12 ms. With small blocks gpu0 walks into the next block at once, and its report is dropped for
# 2 ms, over and over, because the *range* has just been mapped. Two blocks of the default size, on a time axis:

# %%
p = sl.Process("mi210-two-hives", xnack=True)
a = filled(p)
p.set_attr(a, access=["gpu0"])
p.advance("2 ms")
before = len(p.log)
p.gpu(0).touch(a)
sl.show(sl.timeline(p, since=before))
sl.show(sl.counters(p))

# %% [markdown]
# The counters add up the two faults that were served, 635 us. The timeline shows the other wait, three times as long.
#
# ### Memory no call registered
#
# With xnack on a GPU may use any memory of its process. Here are mappings of 3 MiB, or 768 pages, of three kinds. No call names them; gpu0 reads page 600.

# %%
for kind in ("anonymous", "heap", "stack"):
    p = sl.Process("mi210-two-hives", xnack=True)
    a = filled(p, "3 MiB", kind=kind)
    p.gpu(0).touch(a.pages(600))
    print(f"{kind}: {told(p)}", p.ranges(a), sep="\n")

# %% [markdown]
# The fault made a range itself, out of defaults: the block of 512 pages around page 600, as far as the mapping and its neighbours let it. The mapping ends at
# page 767. If it is made of heap or stack, it prefers RAM (column `preferred`), so gpu0 maps its pages where they are.
#
# ### Access, in place, none
#
# Notebook 03 left open what the kinds of access do to a fault. The buffer is in VRAM of gpu1. Then the CPU reads a page: a block comes home, and no GPU
# has entries for it any more. What does gpu0's next touch do?

# %%
for kind in ("access", "access_in_place", "no_access"):
    p = sl.Process("mi210-two-hives", xnack=True)
    a = filled(p)
    p.set_attr(a, **{kind: ["gpu0"]}, prefetch="gpu1")
    p.cpu_touch(a.pages(0))
    p.advance("3 ms")
    try:
        p.gpu(0).touch(a.pages(0))
    except sl.SvmError as error:
        print(f"{kind}: {error}")
    else:
        print(f"{kind}: {p.log.events('decision')[-1].text}")
        print(p.ranges(a.pages(0, 512)))

# %% [markdown]
# With ACCESS the fault brings the block to gpu0. In place it stays in RAM and is mapped there. Without access the fault is *fatal*: no queue of the process
# runs again, on any GPU. By step 6, so is what the VMA forbids.
#
# ### What you predicted

# %%
compare(mine)

# %% [markdown]
# ## Explain
#
# **A misconception:** "A fault moves one page." It serves a block: 512 pages in *One touch*, 6 at the edge of a range, and none moves if the block
# is where it should be, as the heap was.
#
# **A misconception:** "Each report of a fault is served." In *A thousand waves* 999 were duplicates. In *The 2 ms rule is about the range* reports were
# dropped that were no duplicates: nobody had served them. Dropping is safe, for the GPU tries again, but it is not free.
#
# Where the block goes is decided by rules that look at the preferred location first, then at the access of the GPU that faulted. The table has them
# all, for a fault of gpu0. The first rule that fires decides.

# %%
sl.show(sl.policy_table("mi210-two-hives", fault="gpu0"))

# %% [markdown]
# Read the row *no*: with a preferred location that gpu0 reaches, even a GPU without access is served. Only the last rule is fatal.
#
# ## Explore
#
# In this stepper the CPU fills 4 MiB, gpu0 gets access, and a location is preferred. gpu0 writes the first page; later the CPU reads it. Choose the
# location, and step.

# %% tags=["nbval-ignore-output"]
stepper = FaultStepper()
stepper

# %% [markdown]
# 1. Prefer gpu0. At which moment does gpu0's table get entries, and how many? When could the CPU not reach the page?
# 2. Prefer gpu1, then gpu4. Whose VRAM do the pages end in each time, and which rule says so?
# 3. With which choice does the CPU's read cost no fault?

# %%
stepper.static()

# %% [markdown]
# ## Exercises
#
# Each has three hints; `sl.course.hint("08.1")` prints the first one.
#
# ### 08.1 Put the steps in order
#
# gpu0 touches a page of a registered range in RAM, and its fault is served by a migration. Write the letters of what happens in their order. Two
# do not happen.
#
# | | | | |
# |---|---|---|---|
# | A | gpu0 gets entries for the block | G | the block moves |
# | B | the best location is decided | H | `mmap_lock` and the svms lock are taken |
# | C | the range of the page is found | I | does the VMA allow the access? |
# | D | was the range mapped less than 2 ms ago? | J | the wave repeats its access |
# | E | the range's `migrate_mutex` is taken | K | all queues of the process are stopped |
# | F | a wave finds no entry, and gpu0 reports it | L | all GPUs with access get entries |

# %% tags=["stub"]
order = ...
check("08.1", order)

# %% tags=["solution"]
order = "FHCEDIBGAJ"
check("08.1", order)

# %% [markdown] tags=["solution"]
# **Why.** What is asked under the mutex stays true while it is held, so D comes after E. The questions that can end it all (D, I) come before anything
# moves. A must follow G, or gpu0 would use the old pages. K is how it goes with xnack off; L would give entries to GPUs that may never need them.

# %% [markdown]
# ### 08.2 Count the faults
#
# Write `faults`. It returns how many faults are served when gpu0 touches pages one by one, with 3 ms between them. It gets
#
# * `touched`: a list of page numbers, in the order of the touches; a page may come twice,
# * `granularity`: the same for all ranges,
# * `ranges`: a list of `(first, last)`, without gaps; every touched page is in one of them.
#
# At the start gpu0 has no entries. The check runs each case. About 6 lines.


# %% tags=["stub"]
def faults(touched, granularity, ranges):
    raise NotImplementedError


check("08.2", faults)


# %% tags=["solution"]
def faults(touched, granularity, ranges):
    served = set()
    for page in touched:
        for first, last in ranges:
            if first <= page <= last:
                served.add((first, page >> granularity))
    return len(served)


check("08.2", faults)

# %% [markdown] tags=["solution"]
# **Why.** A block is the pages with the same `page >> granularity`, counted from page 0 and not from the start of the range. Two ranges may share a block; a
# fault serves the part in its own range, so the other part takes another one.

# %% [markdown]
# ### 08.3 Choose the granularity
#
# Three buffers of 1024 pages in RAM, and a budget for each: how many faults may be served, and how many pages may move. Choose a granularity for each buffer;
# the check runs them.
#
# | buffer | gpu0 reads | faults | pages moved |
# |---|---|---|---|
# | `stream` | all pages, in order | 1 | 1024 |
# | `scatter` | pages 0, 64, 128, ... 960, with 3 ms between | 16 | 128 |
# | `tile` | pages 24 to 39 | 1 | 64 |

# %% tags=["stub"]
granularity = {"stream": ..., "scatter": ..., "tile": ...}
check("08.3", granularity)

# %% tags=["solution"]
granularity = {"stream": 10, "scatter": 3, "tile": 6}
check("08.3", granularity)

# %% [markdown] tags=["solution"]
# **Why.** The default, 9, would need two faults for `stream`, and 2 ms. For `scatter` 0 to 3 are right: a larger block brings pages that nobody asked
# for. `tile` has 16 pages, but not from a multiple of 16: the smallest block with all of them is 0 to 63.

# %% [markdown]
# ## Key points
#
# * A report, locks, the range, its mutex, the questions, the decision, the move, the entries; then the GPU tries again (lists in *The steps of the driver*).
# * One fault serves the aligned block of 2^granularity pages, cut at the ends of the range (list in *Which pages one fault serves*).
# * Of a thousand reports one is served; a range mapped less than 2 ms ago takes none (timeline in *A thousand waves*).
# * The rule is about the range, so small blocks in a row cost 2 ms each (list in *The 2 ms rule is about the range*).
# * Memory no call registered becomes a range of up to 2 MiB; heap and stack stay in RAM (ranges in *Memory no call registered*).

# %% [markdown]
# ## From model to kernel
#
# | here | in the kernel |
# |---|---|
# | the report of a fault reaches the driver | `amdgpu_vm_handle_fault` (amdgpu_vm.c) |
# | the steps of a fault | `svm_range_restore_pages` (kfd_svm.c) |
# | finding the range | `svm_range_from_addr` (kfd_svm.c) |
# | a range for memory no call registered | `svm_range_create_unregistered_range` (kfd_svm.c) |
# | 2 ms | `AMDGPU_SVM_RANGE_RETRY_FAULT_PENDING` (kfd_svm.c) |
# | what the VMA allows | `svm_fault_allowed` (kfd_svm.c) |
# | where the block should be | `svm_range_best_restore_location` (kfd_svm.c) |
# | the block moves | `svm_migrate_vma_to_vram` (kfd_migrate.c) |
#
# In the patch of March 2021 that this course reviews no GPU fault is served yet: its model, `behaviour="as-posted"`, takes each for fatal, with xnack on too.
# So D22, which leaves the mapping to the restore worker in both modes, is consistent there. It would be wrong with the fault path, which later patches of the
# same series add. The first version of that path restored the whole range; blocks, and ranges for memory no call registered, came later.
#
# A study of such GPUs (Cooper, Scogland and Ge, 2024) found 97 to 99 of 100 reports to be duplicates.

# %% [markdown]
# ## From HIP to here
#
# | HIP | here |
# |---|---|
# | a kernel uses a pointer of `malloc`, xnack on | a fault on memory no call registered |
# | `hipMemAdvise` with `hipMemAdviseSetAccessedBy` | `access_in_place`: a fault maps, and moves nothing that the GPU reaches |
# | `hipMemAdvise` with `hipMemAdviseSetPreferredLocation` | `preferred`: the first thing that a fault asks for |
#
# The HIP runtime was not examined for this table; take it as what the calls intend.

# %% [markdown] tags=["stub"]
# ## Next
#
# Notebook 09, *Running out of VRAM*: what happens when a block has no place. Answers with reasons are in
# [the version with solutions](solutions/08_a_gpu_fault.ipynb).

# %% [markdown] tags=["solution"]
# ## Next
#
# Notebook 09, *Running out of VRAM*: what happens when a block has no place. Work in
# [the version without solutions](../08_a_gpu_fault.ipynb).
