# %% [markdown]
# # 00 Start here: move one page
#
# **What happens between a prefetch call and the first GPU access?**
#
# About 30 minutes. You need no GPU: the Linux driver for AMD GPUs runs here as a simulation, with real bytes and real page tables.

# %% [markdown]
# ## You will be able to
#
# * **trace** one page from RAM to the memory of a GPU and home again,
# * **order** the six steps of a migration, and say who does them,
# * **keep** a buffer in RAM with one attribute.

# %% [markdown]
# ## Setup
#
# Shift+Enter runs a cell. If this one fails, close the notebook and start `make lab` in the project's folder.
#
# The machine is described after a real one. Inside a *hive*, each GPU reaches the memory of the others.

# %%
import svmlab as sl
from svmlab.course import check, compare, hint, predict
from svmlab.widgets import MigrationStepper

machine = sl.Machine.find("mi210-two-hives")
print(machine.title)
for gpus in machine.hives.values():
    print("a hive of", ", ".join(f"gpu{gpu}" for gpu in gpus))

# %% [markdown]
# ## Warm-up
#
# The kernel counts memory in *pages* of 4 KiB. The number of a page is its address divided by 4096.
#
# 1. How many pages are 256 KiB?
# 2. Which page holds the byte at address 0x5003?
#
# Write your answers in place of the dots and run the cell, as often as you like.

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
# The CPU has a page table, and so has each GPU. It says where a page is: in RAM, or in the memory of a GPU, its *VRAM*.
#
# In the next section the CPU stores into one page. Then a call gives gpu0 access and asks for the page to be in gpu0's VRAM. What do you expect?
# Answer `"RAM"`, `"VRAM of gpu0"` or `"nothing"`.
#
# * `cpu_table`: when the call returns, what does the CPU's table say?
# * `gpu_table`: at that moment, what does gpu0's table say?
# * `after_cpu_read`: later, the CPU reads one byte. Where is the page then?
#
# A prediction is recorded and never scored.

# %% tags=["stub"]
mine = predict("00.p1", cpu_table=..., gpu_table=..., after_cpu_read=...)

# %% tags=["solution"]
mine = predict("00.p1", cpu_table="VRAM of gpu0", gpu_table="nothing", after_cpu_read="RAM")

# %% [markdown]
# ## Run
#
# ### A page in RAM
#
# A process maps one page and stores the byte 7 all over it.

# %%
p = sl.Process("mi210-two-hives", vram="64 MiB")
a = p.mmap("4 KiB", name="a")
a[:] = 7
sl.show(sl.pagemap(p, a))

# %% [markdown]
# In this *page map* each lane is a page table, or several that agree. R is RAM, V0 the VRAM of gpu0, a dash is no entry.
#
# ### The call

# %%
p.set_attr(a, access=["gpu0"], prefetch="gpu0")
sl.show(sl.pagemap(p, a))
print("queues:", p.look.queues())

# %% [markdown]
# The call is back and the page has moved: the CPU's table names VRAM. But gpu0's table still has no entry, and the *queues*, from which GPUs take
# their work, are *evicted*: nothing of this process runs on any GPU.
#
# ### One millisecond later
#
# `run` lets time pass until nothing is left to do.

# %%
p.run()
sl.show(sl.pagemap(p, a))
print("queues:", p.look.queues())

# %% [markdown]
# ### Read it from both sides
#
# gpu0 reads through its own table, from its own VRAM. Then the CPU reads one byte.

# %%
print("gpu0 reads", p.gpu(0).read(a)[:8])
print("the CPU reads", a[0])
sl.show(sl.pagemap(p, a))
print("queues:", p.look.queues())

# %% [markdown]
# Both find the 7. The CPU cannot read VRAM, so its touch brought the page home. gpu0's table still names the old place, but its queues are evicted
# again and nobody looks. After another millisecond the tables agree:

# %%
p.run()
sl.show(sl.pagemap(p, a))

# %% [markdown]
# ### What you predicted
#
# `compare` runs all this once more and puts what happens beside what you said.

# %%
compare(mine)

# %% [markdown]
# ## Explain
#
# Everything that happens is a line in a log, with its time in nanoseconds and who did it. Moving pages takes the driver six steps:

# %%
p = sl.Process("mi210-two-hives", vram="64 MiB")
a = p.mmap("4 KiB", name="a")
a[:] = 7
p.set_attr(a, access=["gpu0"], prefetch="gpu0")
p.run()
for event in p.log.events("step"):
    print(f"{event.time_ns:>8}  {event.task.name:<15} {event}")

# %% [markdown]
# `set_attr` does steps 1 to 5 and returns. Step 6 is left to the *restore worker*, almost a millisecond later. Here is everybody who takes part:

# %%
sl.show(sl.timeline(p))

# %% [markdown]
# Read it downwards, from cause to effect. Step 1 takes the page away from the CPU, and an *MMU notifier* tells whoever else may use it. The GPUs
# are set to take no page faults (*xnack* is off). So the driver stops all queues of the process, on all eight GPUs, and orders the restore worker for
# 1 ms later. The copy, by gpu0's copy engine (*SDMA*), still goes on during step 4. The jagged lines mark a piece left out of the axis.
#
# Times come from a cost model: trust their proportions, not their digits.
#
# Why did the page go to gpu0? Rules are asked in a fixed order; the first that fires decides:

# %%
print(p.why(a))

# %% [markdown]
# Why did the queues stop? Every event knows its cause. (`0x7e0000000` is the number of the page.)

# %%
print(sl.why(p.log.events("queue_eviction")[0]))

# %% [markdown]
# **A misconception:** "A prefetch copies in the background. When it returns, the GPU has the page, and RAM keeps a copy." The outputs say otherwise:
#
# * `set_attr` returns after the move, and meanwhile all GPUs stand still.
# * When it returns, gpu0 does *not* have the page. That takes the restore worker.
# * A page has one home. Step 5 freed the old one.
#
# ### More than one page
#
# A buffer of 4 MiB has 1024 pages. It moves to gpu0, and then the CPU reads a single byte:

# %%
p = sl.Process("mi210-two-hives", vram="64 MiB")
a = p.mmap("4 MiB", name="a")
a[:] = 7
p.set_attr(a, access=["gpu0"], prefetch="gpu0")
p.run()
print("the CPU reads", a[0])
p.run()
sl.show(sl.pagemap(p, a))
print(p.look.counters(0))

# %% [markdown]
# One byte brought a block of 512 pages home, 2 MiB; the others stay. gpu0 maps each page where it is.

# %% [markdown]
# ## Explore
#
# The stepper plays this with 4 MiB, moment by moment. Choose a place for the prefetch; step with the arrow keys, in the box or on the slider.

# %% tags=["nbval-ignore-output"]
stepper = MigrationStepper()
stepper

# %% [markdown]
# 1. At which step does the CPU's table change to V0? Who could reach the pages between step 1 and that one?
# 2. Prefetch to another GPU of gpu0's hive, then to one of the other hive. Where do the pages go, and who maps them?
# 3. Prefetch to RAM. Which lanes of the timeline are gone?
#
# The next cell has the end of each part of the run, for every choice.

# %%
stepper.static()

# %% [markdown]
# ## Exercises
#
# Each exercise has three hints. `hint("00.1", 2)` would print the second one of 00.1.

# %%
hint("00.1")

# %% [markdown]
# ### 00.1 Order the steps
#
# Write the letters of the six steps of a migration in their order, as text. One piece does not belong.
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
# **Why.** Pages must be out of reach before they are copied (D), and have a place to go (E). The copy (A) runs on the SDMA engine while the driver
# moves the page structures (F); only when it is complete may the old pages go (C). GPUs map what the CPU's table names, so that comes last (B).
# G never happens: with xnack off a GPU takes no page faults.

# %% [markdown]
# ### 00.2 Stay at home
#
# gpu0 and the CPU read the same buffer in turn. With the attributes `{"access": ["gpu0"], "prefetch": "gpu0"}` every turn moves pages. Change one
# attribute, so that both still read and nothing ever moves, and write all attributes down like that.

# %% tags=["stub"]
keep = ...
check("00.2", keep)

# %% tags=["solution"]
keep = {"access": ["gpu0"], "prefetch": "cpu"}
check("00.2", keep)

# %% [markdown] tags=["solution"]
# **Why.** The prefetch location is what moves pages; with RAM they are there already. gpu0 has access, so the driver maps them into its table and it
# reads RAM over PCIe. Without `prefetch` the same happens, as the pages never moved. Without `access` gpu0 has no entry, and its first touch is fatal.

# %% [markdown]
# ## Key points
#
# * A prefetch moves pages before it returns: five steps (list in *Explain*), and a sixth for the restore worker.
# * Between the call and the first GPU access lies the restore delay, in which all queues of the process stand still (timeline in *Explain*).
# * A page has one home; the CPU's table names it, and those of GPUs follow (page maps in *Run*).
# * A CPU touch of a page in VRAM is a fault that brings its block home (page map in *More than one page*).
# * Every decision names its rule (`p.why`), every event its cause (`sl.why`).

# %% [markdown]
# ## From model to kernel
#
# | here | in the kernel |
# |---|---|
# | `p.set_attr` | `svm_range_set_attr` (kfd_svm.c) |
# | the decision that `p.why` tells | `svm_range_best_location` (kfd_svm.c), later `svm_range_best_prefetch_location` (kfd_svm.c) |
# | step 1 | `migrate_vma_setup` (migrate.c), with `svm_range_cpu_invalidate_pagetables` (kfd_svm.c) as notifier |
# | queues stop | `svm_range_evict` (kfd_svm.c), `kgd2kfd_quiesce_mm` (kfd_device.c) |
# | steps 2 and 3 | `svm_migrate_copy_to_vram` (kfd_migrate.c) |
# | steps 4 and 5 | `migrate_vma_pages` (migrate.c), `migrate_vma_finalize` (migrate.c) |
# | step 6 | `svm_range_restore_work` (kfd_svm.c), `AMDGPU_SVM_RANGE_RESTORE_DELAY_MS` (kfd_svm.c) after the queues stopped |
# | a CPU touch brings pages home | `svm_migrate_to_ram` (kfd_migrate.c) |
#
# The steps are numbered as in the commit message of "drm/amdkfd: HMM migrate ram to vram", patch 18 of 44, posted in March 2021. As posted, that patch
# drops the result of the copy step (D1; labels with D or X are defects found in the posting). Here a failed copy is an error, and the page stays readable.

# %% [markdown]
# ## From HIP to here
#
# | HIP | what the runtime asks the driver for | here |
# |---|---|---|
# | `hipMallocManaged` | ACCESS for every GPU | `access=["gpu0", "gpu1", ...]` |
# | `hipMemAdvise` with `hipMemAdviseSetAccessedBy` | ACCESS_IN_PLACE for one GPU | `access_in_place=["gpu0"]` |
# | `hipMemPrefetchAsync` to a GPU | PREFETCH_LOC, that GPU | `prefetch="gpu0"` |
# | `hipMemPrefetchAsync` to the CPU | PREFETCH_LOC, system memory | `prefetch="cpu"` |

# %% [markdown] tags=["stub"]
# ## Next
#
# Notebook 01, *Two memories, one address*: what a pointer means on both sides. Answers with reasons are in
# [the version with solutions](solutions/00_start_here.ipynb); `sl.course.progress()` lists what you have done.

# %% [markdown] tags=["solution"]
# ## Next
#
# Notebook 01, *Two memories, one address*: what a pointer means on both sides. Work in
# [the version without solutions](../00_start_here.ipynb).
