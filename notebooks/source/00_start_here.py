# %% [markdown]
# # 00 Start here: move one page
#
# **What happens between a prefetch call and the first GPU access?**
#
# About 30 minutes. You need Python and no GPU: the Linux driver for AMD GPUs runs here as a simulation, with real bytes and real page tables.

# %% [markdown]
# ## You will be able to
#
# * **trace** one page from RAM to the memory of a GPU and home again,
# * **order** the six steps of a migration and say who does each,
# * **keep** a buffer in RAM, with one attribute, when moving it does not pay.

# %% [markdown]
# ## Setup
#
# Run a cell with Shift+Enter. If the first one fails, the notebook runs outside the project's environment: close it, and start `make lab` in the
# project's folder.

# %%
import svmlab as sl
from svmlab.course import check, compare, hint, predict
from svmlab.widgets import MigrationStepper

# %% [markdown]
# You work on a description of a real machine. Its eight GPUs are in two hives: inside a hive, a GPU reaches the memory of the others directly.

# %%
machine = sl.Machine.find("mi210-two-hives")
print(machine.title)
for hive in machine.hives.values():
    print("hive of", ", ".join(f"gpu{gpu}" for gpu in hive))

# %% [markdown]
# ## Warm-up
#
# This is the first notebook, so the two questions are about what you may know already. The kernel counts memory in *pages* of 4 KiB, and names a page
# by its number: the address of its first byte, divided by 4096.
#
# 1. How many pages are 256 KiB?
# 2. Which page holds the byte at address 0x5003?
#
# Put your answers in place of the dots and run the cell. `check` tells you whether they are right, as often as you like.

# %% tags=["stub"]
pages = ...
page = ...
check("00.w1", pages)
check("00.w2", page)

# %% tags=["solution"]
pages = 256 * 1024 // 4096
page = 0x5003 // 4096
check("00.w1", pages)
check("00.w2", page)

# %% [markdown]
# ## Predict
#
# The CPU and each GPU have a page table of their own, which says where in memory a page is: in RAM, or in the memory of a GPU, its *VRAM*.
#
# Below, the CPU stores into one page. A call then gives gpu0 access to it and asks for it to be in gpu0's VRAM. Before you run that, say what you
# expect. Answer each question with `"RAM"`, `"VRAM of gpu0"` or `"nothing"`.
#
# * `cpu_table`: when the call returns, where does the CPU's page table say the page is?
# * `gpu_table`: at the same moment, what does gpu0's page table say?
# * `after_cpu_read`: later, the CPU reads one byte. Where is the page then?
#
# A prediction is recorded and never scored. A wrong one is worth more than none.

# %% tags=["stub"]
mine = predict("00.p1", cpu_table=..., gpu_table=..., after_cpu_read=...)

# %% tags=["solution"]
mine = predict("00.p1", cpu_table="VRAM of gpu0", gpu_table="nothing", after_cpu_read="RAM")

# %% [markdown]
# ## Run
#
# ### A page in RAM
#
# A *process* on that machine maps one page and stores the byte 7 everywhere in it.

# %%
p = sl.Process("mi210-two-hives", vram="64 MiB")
a = p.mmap("4 KiB", name="a")
a[:] = 7
sl.show(sl.pagemap(p, a))

# %% [markdown]
# This is a *page map*. A lane is a page table, a letter is a place: R is RAM, V0 is the VRAM of gpu0, a dash is "no entry". Tables that say the same
# share a lane. The CPU's table has the page in RAM; no GPU knows of it.
#
# ### The call
#
# `access` says who may use the buffer, `prefetch` where its pages shall be.

# %%
p.set_attr(a, access=["gpu0"], prefetch="gpu0")
sl.show(sl.pagemap(p, a))
print("queues:", p.look.queues())

# %% [markdown]
# The call is back and the page has moved: the CPU's table now names VRAM, which the CPU itself cannot read. Yet gpu0's own table still has no entry.
# And the *queues*, through which GPUs get their work, are *evicted*: taken off the GPU. Nothing of this process runs on any GPU.
#
# ### One millisecond later
#
# `run` lets time pass until nothing is left to do.

# %%
p.run()
sl.show(sl.pagemap(p, a))
print("queues:", p.look.queues())

# %% [markdown]
# Now gpu0 has the page in its table, and the queues run.
#
# ### Read it from both sides
#
# gpu0 reads through its own page table, from its own VRAM. Then the CPU reads one byte.

# %%
print("gpu0 reads", p.gpu(0).read(a)[:8])
print("the CPU reads", a[0])
sl.show(sl.pagemap(p, a))

# %% [markdown]
# Both find the byte 7. But the CPU cannot read VRAM, so its touch brought the page home. The table of gpu0 still names the old place. That does no
# harm, because the queues are evicted once more. After another millisecond both tables agree:

# %%
p.run()
sl.show(sl.pagemap(p, a))

# %% [markdown]
# ### What you predicted
#
# `compare` runs the same once more and puts your prediction beside what happens.

# %%
compare(mine)

# %% [markdown]
# ## Explain
#
# Everything that happens is a line in the log, with its time in nanoseconds and the task that did it. The driver moves pages in six steps, and each of
# them is such a line.

# %%
p = sl.Process("mi210-two-hives", vram="64 MiB")
a = p.mmap("4 KiB", name="a")
a[:] = 7
p.set_attr(a, access=["gpu0"], prefetch="gpu0")
p.run()
for event in p.log.events("step"):
    print(f"{event.time_ns:>8}  {event.task.name:<15} {event}")

# %% [markdown]
# Steps 1 to 5 are done by the task that called `set_attr`; the call returns after step 5. Step 6 belongs to somebody else, the *restore worker*, and
# comes almost a millisecond later. The *timeline* shows it, with a lane for everybody who takes part:

# %%
sl.show(sl.timeline(p))

# %% [markdown]
# Read it from top to bottom, from cause to effect. Step 1 takes the page away from the CPU. The kernel tells everybody who might use it, through an
# *MMU notifier*. These GPUs take no page faults (their feature for that, *xnack*, is off), so the driver has one way to keep them off the page: it
# stops all queues of the process, on all eight GPUs, and orders the restore worker for 1 ms later. The copy itself, on gpu0's copy engine (*SDMA*),
# is short, and still goes on while the driver is at step 4. The jagged lines mark where the axis leaves out most of the waiting.
#
# Times come from a model of the hardware. Their proportions are right; your machine will show other numbers.
#
# Why was gpu0 chosen? The driver asks rules in a fixed order, and the first that fires decides:

# %%
print(p.why(a))

# %% [markdown]
# And why did the queues stop? Each event knows which one it follows from. `sl.why` walks back to what the application asked for:

# %%
print(sl.why(p.log.events("queue_eviction")[0]))

# %% [markdown]
# **A misconception, and what the outputs say against it.** "A prefetch copies in the background; when it returns, the GPU has the page and RAM keeps
# another copy."
#
# * It does not run in the background: `set_attr` returns after the move, and all GPUs of the process stand still meanwhile, and for long after.
# * When it returns, gpu0 does *not* have the page: its table had no entry until the restore worker came.
# * There is no second copy: a page has one home, and step 5 freed the old one.
#
# ### More than one page
#
# A buffer of 4 MiB is 1024 pages. Move it, then let the CPU read a single byte:

# %%
p = sl.Process("mi210-two-hives", vram="64 MiB")
a = p.mmap("4 MiB", name="a")
a[:] = 7
p.set_attr(a, access=["gpu0"], prefetch="gpu0")
p.run()
print(a[0])
p.run()
sl.show(sl.pagemap(p, a))

# %% [markdown]
# One byte brought 512 pages home, a block of 2 MiB; the other 512 stay in VRAM. gpu0 maps all of them, each where it is. Notebook 05 is about the size
# of that block.

# %% [markdown]
# ## Explore
#
# The stepper runs the same story with 4 MiB, and stops at each moment at which something happens. Choose where the prefetch asks the pages to be, and
# step with the arrow keys in the box or on the slider. It starts at step 3.

# %% tags=["nbval-ignore-output"]
stepper = MigrationStepper()
stepper

# %% [markdown]
# Try to answer these with it:
#
# 1. Go forward from step 3. At which step does the CPU's table change to V0? Who could reach the pages between step 1 and that one?
# 2. Choose another GPU of gpu0's hive, then one of the other hive. Do the pages go there? Who maps them?
# 3. Choose RAM. Which lanes of the timeline are gone, and which one do you miss least?
#
# The next cell shows the end of each part for every choice, for readers without a kernel, and to compare your answers with.

# %%
stepper.static()

# %% [markdown]
# ## Exercises
#
# Each exercise has three hints, from where to look to the shape of an answer. This is the first one of 00.1; `hint("00.1", 2)` prints the next.

# %%
hint("00.1")

# %% [markdown]
# ### 00.1 Order the steps
#
# These are the six steps of a migration, and one piece that belongs to none of them. Write the letters of the six in the right order, as a text.
#
# * A: copy with SDMA
# * B: restore: map the new pages, resume the queues
# * C: finalize, free the old pages
# * D: collect the pages, unmap them from the CPU
# * E: allocate new pages
# * F: move the page structures
# * G: gpu0 takes a page fault

# %% tags=["stub"]
order = ...
check("00.1", order)

# %% tags=["solution"]
order = "DEAFCB"
check("00.1", order)

# %% [markdown] tags=["solution"]
# **Why.** Pages must be out of everybody's reach before they are copied (D), and their new place must exist (E). The copy runs on the SDMA engine
# while the CPU moves the page structures (F); only when it is complete may the old pages go (C). GPUs map what the CPU's table names, so the mapping
# (B) comes last. G never happens: with xnack off a GPU takes no page faults.

# %% [markdown]
# ### 00.2 Stay at home
#
# A program lets gpu0 and the CPU read the same buffer in turn, again and again. With the attributes `{"access": ["gpu0"], "prefetch": "gpu0"}` each
# turn moves the pages. Give attributes with which both still read, and nothing ever moves. One attribute has to change.

# %% tags=["stub"]
keep = ...
check("00.2", keep)

# %% tags=["solution"]
keep = {"access": ["gpu0"], "prefetch": "cpu"}
check("00.2", keep)

# %% [markdown] tags=["solution"]
# **Why.** The prefetch location is what moves pages. With RAM as the location they are there already; gpu0 has access, so the driver maps them into
# its table, and it reads RAM over PCIe. To leave `prefetch` out does the same for pages that never moved. To leave `access` out does not: gpu0 then
# has no entry, and its first touch is fatal.

# %% [markdown]
# ## Key points
#
# * A prefetch moves pages before it returns (page map after *The call*), in five steps; the sixth is left to the restore worker (list in *Explain*).
# * Between the call and the first GPU access lies the restore delay: all queues of the process stand still for a good millisecond (timeline).
# * A page has one home. The CPU's table names it, GPU tables follow (the four page maps in *Run*).
# * A CPU touch of a page in VRAM is a fault that brings its block home (*More than one page*).
# * Every decision names its rule (`p.why`), every event its cause (`sl.why`).

# %% [markdown]
# ## From model to kernel
#
# | here | in the kernel |
# |---|---|
# | `p.set_attr` | `svm_range_set_attr` (kfd_svm.c) |
# | the decision that `p.why` tells | `svm_range_best_location` (kfd_svm.c), later `svm_range_best_prefetch_location` (kfd_svm.c) |
# | step 1 | `migrate_vma_setup` (migrate.c), and `svm_range_cpu_invalidate_pagetables` (kfd_svm.c) as the notifier |
# | queues stop | `svm_range_evict` (kfd_svm.c), `kgd2kfd_quiesce_mm` (kfd_device.c) |
# | steps 2 and 3 | `svm_migrate_copy_to_vram` (kfd_migrate.c) |
# | steps 4 and 5 | `migrate_vma_pages` (migrate.c), `migrate_vma_finalize` (migrate.c) |
# | step 6 | `svm_range_restore_work` (kfd_svm.c), `AMDGPU_SVM_RANGE_RESTORE_DELAY_MS` (kfd_svm.c) after step 1 |
# | the CPU reads, the page comes home | `svm_migrate_to_ram` (kfd_migrate.c) |
#
# The six steps are those of the commit message of "drm/amdkfd: HMM migrate ram to vram", patch 18 of 44, posted in March 2021. As posted, that patch
# drops the result of the copy step (defect D1). This notebook runs the behaviour `as-intended`, in which a failed copy is an error and the page stays
# readable. Notebook 11 runs the patch as posted.

# %% [markdown]
# ## From HIP to here
#
# | HIP | what the runtime asks the driver for | here |
# |---|---|---|
# | `hipMallocManaged` | ACCESS for every GPU | `access=["gpu0", "gpu1", ...]` |
# | `hipMemAdvise` with `hipMemAdviseSetAccessedBy` | ACCESS_IN_PLACE for one GPU | `access_in_place=["gpu0"]` |
# | `hipMemPrefetchAsync` to a GPU | PREFETCH_LOC, that GPU | `prefetch="gpu0"` |
# | `hipMemPrefetchAsync` to the CPU | PREFETCH_LOC, system memory | `prefetch="cpu"` |
#
# "Async" is the runtime's word: one of its threads makes the call and waits, as you saw it wait.

# %% [markdown] tags=["stub"]
# ## Next
#
# Notebook 01, *Two memories, one address*, asks what a pointer means on both sides. The [version with solutions](solutions/00_start_here.ipynb) has
# answers to the exercises, with reasons.

# %% [markdown] tags=["solution"]
# ## Next
#
# Notebook 01, *Two memories, one address*, asks what a pointer means on both sides. The [version without solutions](../00_start_here.ipynb) is
# the one to work in.
