# %% [markdown]
# # 10 Unmap, split and stale faults
#
# **What does the driver do when memory goes away?**
#
# About 40 minutes. It needs notebooks 00 to 04, 07 and 08; 02 and 05 help.

# %% [markdown]
# ## You will be able to
#
# * **order** what happens at once when memory is unmapped, and what the driver leaves for later,
# * **predict** which ranges are left, and when their VRAM goes back,
# * **tell** which reports of faults are out of date, and why it is safe to drop them.
#
# ## Setup
#
# `mapped` makes a buffer, full of the byte 7, and gives gpu0 access. `tell` prints events: when they were, counted from the first of them, and which *task* did it.
# A task is whoever runs: a call of the program, or a worker of the driver.

# %%
import svmlab as sl
from svmlab.course import check, compare, predict
from svmlab.widgets import LateReport


# %%
def mapped(p, size="2 MiB", **asked):
    a = p.mmap(size, name="a")
    a[:] = 7
    p.set_attr(a, access=["gpu0"], **asked)
    p.run()
    return a


# %%
def tell(events):
    for event in events:
        print(f"{(event.time_ns - events[0].time_ns) / 1000:>6.1f} us  {event.task.name:<20} {event}")


# %% [markdown]
# ## Warm-up
#
# Two questions on earlier notebooks.
#
# 1. xnack is off, and a page that gpu0 maps is unmapped with `munmap`. On how many of the three GPUs of `toy` do queues stop?
# 2. For how many milliseconds after it was mapped does a range take no fault of a GPU?

# %% tags=["stub"]
stopped = ...
quiet_ms = ...
check("10.w1", stopped)
check("10.w2", quiet_ms)

# %% tags=["solution"]
stopped = 0
quiet_ms = 2
check("10.w1", stopped)
check("10.w2", quiet_ms)

# %% [markdown]
# ## Predict
#
# A buffer of 1024 pages is one range, and it is in VRAM of gpu0. The program unmaps 512 pages in the middle of it.
#
# * `ranges`: how many ranges are left? `"one"`, `"two"` or `"three"`.
# * `freed`: how many pages of VRAM are free for others then? `"none"`, `"512"` or `"1024"`.
#
# Another process has xnack on. 1000 waves of gpu0 read the same page; one report of the fault is served, and the work is done. Then the program
# unmaps the buffer. Only now the driver reads the other 999 reports.
#
# * `late`: what becomes of them? `"they are served"`, `"they are dropped"` or `"they are fatal"`.

# %% tags=["stub"]
mine = predict("10.p1", ranges=..., freed=..., late=...)

# %% tags=["solution"]
mine = predict("10.p1", ranges="two", freed="none", late="they are dropped")

# %% [markdown]
# ## Run
#
# ### A hole
#
# A buffer of 512 pages in RAM, which gpu0 maps. Pages 200 to 299 are unmapped.

# %%
p = sl.Process("toy")
a = mapped(p)
since, before = len(p.log), sl.range_strip(p, a)
p.munmap(a.pages(200, 100))
p.run()

# %%
tell(p.log.events(since=since))
sl.show(sl.range_strip(p, a, before=before, call="the munmap"))

# %% [markdown]
# (The buffer begins at page 0x7e0000000, and 0xc8 is 200.) One range has become two, and two tasks have worked at it. `munmap` itself calls the notifier, as each change of
# the CPU's table does. But this change has an event of its own, UNMAP, and another answer than a stop of the queues:
#
# * At once: gpu0's entries go. The frames of these pages will belong to somebody else in a moment, so this cannot wait.
# * At once: the range is *cut*. Both cuts are made, at page 200 and at page 300.
# * Later: a *deferred worker* removes the middle, and registers the piece behind it.
#
# Why later? The list of ranges may change only under the svms lock, with `mmap_lock` held for writing. The notifier may not wait for either: it is called
# in the midst of what others do, and a migration, for one, calls it while it holds the svms lock itself. So it leaves a note. These are its steps:

# %%
sl.show(sl.steps("unmap_from_cpu"))

# %% [markdown]
# ### In between
#
# Stop the clock after step 5, before the worker has its lock. Who answers for the pages 150, 250 and 350?


# %%
def who_answers(p, page):
    first = a.pages(0).start
    found = p.driver.svms.at(first + page)
    return "nobody" if found is None else f"pages {found.start - first} to {found.last - first} ({found.op.name})"


# %%
p = sl.Process("toy")
a = mapped(p)
p.start.munmap(a.pages(200, 100))
while not p.driver.svms.deferred:
    p.advance("100 ns")
print(p.ranges(a))

# %%
for page in (150, 250, 350):
    print(page, "->", who_answers(p, page))
p.run()
for page in (150, 250, 350):
    print(page, "-> afterwards:", who_answers(p, page))

# %% [markdown]
# In between, the list has a single range, and it is too short. The two other pieces hang on it as its *children*, each with a note of what is to be done with it:
# UNMAP_RANGE or ADD_RANGE. (UPDATE_RANGE_NOTIFIER: register it with its new extent. NULL: nothing.) Whoever looks for a page asks the range first, and then its children. So page 350 is not lost,
# although it is in no list. Whoever needs the list as it should be, `set_attr` and the restore worker of notebook 07 for two, waits until the deferred worker is done.
#
# You have met the other maker of children: a CPU fault that cuts its block out of a range (notebook 05) cannot change the list either.
#
# ### What a cut leaves in VRAM
#
# Now 1024 pages in VRAM. `held` says how many pages of VRAM are held, and for each range where it begins, which VRAM buffer it uses, and from which
# page of that on. First the middle goes, then the rest, piece by piece.


# %%
def held(p, a):
    print("VRAM held:", p.look.vram_used(0) // 4096)
    for r in p.look.ranges(a.span):
        print("  from page", r.start - a.pages(0).start, "on: buffer", r.buffer.number, "from page", r.offset, "on")


# %%
p = sl.Process("toy", vram="64 MiB")
a = mapped(p, "4 MiB", prefetch="gpu0")
p.munmap(a.pages(256, 512))
p.run()
held(p, a)
sl.show(sl.vram_map(p, "gpu0"))

# %%
for start, count in ((0, 256), (768, 255), (1023, 1)):
    p.munmap(a.pages(start, count))
    p.run()
    held(p, a)

# %% [markdown]
# Both pieces keep the VRAM buffer of the old range, each with an *offset* into it, and the buffer counts who uses it. It goes back as a whole, when nobody does.
# The picture is that of the hole: half of the buffer is held and has no page in it. A single page that is left, number 1023, holds 4 MiB of VRAM.
#
# ### A report that comes too late
#
# From here on xnack is on. 1000 waves of gpu0 read page 5; when that is done, the program unmaps the buffer. A well-made program waits for its work like
# this.

# %%
p = sl.Process("toy", xnack=True)
a = p.mmap("2 MiB", name="a", populate=True)
since = len(p.log)
p.gpu(0).touch(a.pages(5), waves=1000)
p.munmap(a)
p.run()
kinds = ("page_fault_start", "page_fault_end", "gpu_work_end", "range_remove", "page_fault_dropped")
tell(p.log.events(*kinds, since=since))
sl.show(sl.timeline(p, since=since))

# %% [markdown]
# 999 reports were still in the ring when the memory went. When they are read, there is no range for page 5 any more, and no mapping of which the driver could make
# one. A fault on that is fatal. But gpu0 has long been done. These reports are *stale*. How does the driver know? Step 1 of the list above: munmap notes the time, for
# each GPU. A report with an older time stamp is dropped, whatever it says. This is a driver that does not look:

# %%
p = sl.Process("toy", xnack=True, behaviour={"base": "as-intended", "stale_faults": "fatal"})
a = p.mmap("2 MiB", name="a", populate=True)
p.gpu(0).touch(a.pages(5), waves=1000)
p.munmap(a)
p.run()
print(p.log.events("memory_exception")[0], "| queues:", p.look.queues())

# %% [markdown]
# ### Dropped, and yet needed
#
# The time is all that is compared. Here the program unmaps *other* pages, 5 us after gpu0 wanted page 5; the log begins with the munmap:

# %%
p = sl.Process("toy", xnack=True)
a = mapped(p, preferred="cpu")
p.advance("3 ms")
since = len(p.log)
p.start.gpu_touch("gpu0", a.pages(5))
p.advance("5 us")
p.munmap(a.pages(256, 256))
p.run()
tell(p.log.events("notifier", *kinds, since=since))

# %% [markdown]
# The report of page 5 was not stale in truth: the page is there. It is dropped all the same, and nothing is lost. gpu0 still has no entry, so it reports
# again, with a new time, and is served. Dropping too much costs some microseconds. Dropping too little costs the process.
#
# ### What you predicted

# %%
compare(mine)

# %% [markdown]
# ## Explain
#
# **A misconception:** "What is unmapped is free for others." In RAM it is. VRAM is counted by buffers, not by pages: in *What a cut leaves in VRAM* a thousand
# pages were gone, and not one page of VRAM was free.
#
# **A misconception:** "When munmap is back, the driver has forgotten the memory." What must not wait is done: no GPU reaches the pages. But ranges, and reports in
# the rings, are cleaned up later, and in between they are there and must not be believed. A range says so by its note, a report by its time.
#
# **A misconception:** "A fault on unmapped memory is a mistake of the program." It may be one that was reported before. If it is a mistake in truth, the
# GPU will say it again, after the munmap.

# %% [markdown]
# ## Explore
#
# This lab has the waves of *A report that comes too late*, with pages that stay in RAM. Choose when the munmap comes, of what, and how the driver tells stale reports.

# %% tags=["nbval-ignore-output"]
lab = LateReport()
lab

# %% [markdown]
# 1. Set 5 us, the page itself. How often does gpu0 report, and what kills it in the end?
# 2. Set 25 us. What does the munmap wait for?
# 3. At 200 us, tell stale reports *not at all*. Which pages must go, so that the process survives nevertheless?

# %%
lab.static()

# %% [markdown]
# ## Exercises
#
# Each has three hints; `sl.course.hint("10.1")` prints the first one.
#
# ### 10.1 Order the steps
#
# Some pages in the middle of a range are unmapped. Put the letters in order. Two pieces do not belong.
#
# | | piece |
# |---|---|
# | A | the deferred worker takes `mmap_lock` for writing |
# | B | the notifier cuts the pages out of the range |
# | C | munmap takes `mmap_lock` for writing |
# | D | the notifier stops the queues |
# | E | the notifier queues the range |
# | F | the deferred worker removes and registers ranges |
# | G | the notifier clears the GPUs' entries |
# | H | munmap gives `mmap_lock` back |
# | I | the VRAM of the pages is given back |

# %% tags=["stub"]
steps = ...
check("10.1", steps)

# %% tags=["solution"]
steps = "CGBEHAF"
check("10.1", steps)

# %% [markdown] tags=["solution"]
# **Why.** The notifier runs inside of munmap, under its lock, and does what cannot wait. The worker has been woken, but gets the lock only when munmap is done
# with it. D is the answer to all other changes, and I does not happen while other pages of the range are in VRAM.

# %% [markdown]
# ### 10.2 A bug hunt
#
# This is what the driver did at a munmap when it was posted, in our words. `range` is the range that was hit, `s` and `l` are the first and last page that go.
#
# | line | |
# |---|---|
# | 1 | `gpus` = the GPUs that have access to `range`, of either kind |
# | 2 | for each of `gpus`: clear its entries for `s` to `l`, and flush |
# | 3 | take the lock of `range` |
# | 4 | for each child of `range`, then for `range`: cut `s` to `l` out of it |
# | 5 | note for `range`: UNMAP_RANGE if all of it goes, else UPDATE_RANGE_NOTIFIER |
# | 6 | queue `range`, and wake the worker |
#
# "After a munmap no GPU has an entry for the pages that went." One line breaks that promise. Answer with the number of the line and a program that shows
# it: `program(p, a)` makes calls on `a`, a buffer of 16 pages, and unmaps some of it. About 3 lines. The check runs it with this driver.


# %% tags=["stub"]
def program(p, a):
    raise NotImplementedError


line = ...
check("10.2", (line, program))


# %% tags=["solution"]
def program(p, a):
    p.set_attr(a, access=["gpu0"])
    p.set_attr(a, no_access=["gpu0"])
    p.munmap(a.pages(0))


line = 1
check("10.2", (line, program))

# %% [markdown] tags=["solution"]
# **Why.** Line 1 asks who has access *now*. gpu0 was mapped when it had access, and `no_access` did not remove its entries in that driver. So line 2 passes
# gpu0 over, and it goes on reading a frame that the kernel gives to somebody else. What counts is who has entries, not who may have them. The next cell
# shows it: gpu0 reads the bytes of another buffer.

# %% tags=["solution"]
p = sl.Process("toy", behaviour="as-posted")
a = mapped(p, "64 KiB")
program(p, a)
p.run()
secret = p.mmap("4 KiB", populate=True)
secret[:] = 42
p.gpu(0).read(a.pages(0))[:4]

# %% [markdown]
# ### 10.3 How much VRAM is held?
#
# A buffer of 16 pages is in VRAM, as one range. Then pages of it go. Write a function that returns a list: for each event, how many pages of VRAM are
# held after it. `events` is a list of
#
# * `("munmap", first, last)`: these pages are unmapped,
# * `("home", first, last)`: these pages are prefetched to the CPU.
#
# About 6 lines.


# %% tags=["stub"]
def pages_held(events):
    raise NotImplementedError


check("10.3", pages_held)


# %% tags=["solution"]
def pages_held(events):
    inside, after = set(range(16)), []
    for _, first, last in events:
        inside -= set(range(first, last + 1))
        after.append(16 if inside else 0)
    return after


check("10.3", pages_held)

# %% [markdown] tags=["solution"]
# **Why.** Each cut leaves ranges that share the buffer. A range that has come home uses it no more, and one that is unmapped is gone; when the last one
# that has pages there goes, all 16 pages are free. It does not matter which way they went.

# %% [markdown]
# ## Key points
#
# * munmap clears the GPUs' entries at once and stops no queue; the list of ranges is set right later, by a worker (log in *A hole*).
# * In between, pieces hang on their range as children with a note, and are found through it (output in *In between*).
# * Pieces share a VRAM buffer, which goes back with its last page (output in *What a cut leaves in VRAM*).
# * A report older than the last munmap is dropped; a GPU that needs the page reports again (outputs in *A report that comes too late* and *Dropped, and yet needed*).

# %% [markdown]
# ## From model to kernel
#
# | here | in the kernel |
# |---|---|
# | what munmap does to a range at once | `svm_range_unmap_from_cpu` (kfd_svm.c) |
# | the GPUs' entries | `svm_range_unmap_from_gpus` (kfd_svm.c) |
# | the cuts | `svm_range_unmap_split` (kfd_svm.c), `svm_range_add_child` (kfd_svm.c) |
# | a note for the worker | `svm_range_add_list_work` (kfd_svm.c) |
# | the deferred worker | `svm_range_deferred_list_work` (kfd_svm.c), `svm_range_handle_list_op` (kfd_svm.c) |
# | pieces share a buffer | `svm_range_split_adjust` (kfd_svm.c), `svm_range_bo_unref` (kfd_svm.c) |
# | stale reports, in Linux 5.14 | `svm_range_drain_retry_fault` (kfd_svm.c) |
#
# The bug of 10.2 is X31, and it is in the patches as posted. They have another one here: cutting a range that has neither pages nor VRAM fails, nobody looks at that
# result, and the kernel oopses, that is, it stops on a pointer that leads nowhere (X28). Stale reports were a problem for years, as the versions show. As posted, each was fatal. Linux 5.14 *drained* the rings: the deferred
# worker waited until they were empty before it removed a range. Later kernels counted munmaps and dropped all reports meanwhile. The newest ones, and the
# model here, compare times.

# %% [markdown]
# ## From HIP to here
#
# | HIP | here |
# |---|---|
# | `hipFree` of memory from `hipMallocManaged` | `munmap` of a whole buffer |
# | `free` of a large block, xnack on, after a kernel used it | the C library may unmap it: `munmap` |
#
# Neither the HIP runtime nor a C library was examined for this table.

# %% [markdown] tags=["stub"]
# ## Next
#
# Notebook 11, *Reviewing the patch*: more of such bugs, found by reading, proved by experiments. Answers with reasons are in
# [the version with solutions](solutions/10_unmap_and_stale_faults.ipynb).

# %% [markdown] tags=["solution"]
# ## Next
#
# Notebook 11, *Reviewing the patch*: more of such bugs, found by reading, proved by experiments. Work in
# [the version without solutions](../10_unmap_and_stale_faults.ipynb).
