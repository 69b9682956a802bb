# %% [markdown]
# # 04 RAM to VRAM in six steps
#
# **What does the driver do to move a buffer, step by step?**
#
# About 40 minutes. It needs notebooks 00 to 03.

# %% [markdown]
# ## You will be able to
#
# * **name** the state of a page after each of the six steps: the CPU's entry, the frames, the locks,
# * **count** nodes, batches and windows for a given VRAM,
# * **say** what happens when pages cannot be collected, or cannot be copied.

# %% [markdown]
# ## Setup
#
# `filled` makes a buffer that is full of the byte 7.

# %%
import svmlab as sl
from svmlab.course import check, compare, predict
from svmlab.svm.translate import entries_of
from svmlab.widgets import HurdleStepper


# %%
def filled(p, size="4 MiB", **options):
    a = p.mmap(size, name="a", **options)
    a[:] = 7
    return a


# %% [markdown]
# ## Warm-up
#
# Two questions on earlier notebooks.
#
# 1. gpu0 and gpu4, of two hives, have access to a buffer; xnack is off. The buffer is prefetched to gpu0. Where is it then, in `"VRAM of gpu0"` or in `"RAM"`?
# 2. A page is in VRAM. What does the CPU's table have for it: `"nothing"`, `"a frame"` or `"a device page"`?

# %% tags=["stub"]
place = ...
entry = ...
check("04.w1", place)
check("04.w2", entry)

# %% tags=["solution"]
place = "RAM"
entry = "a device page"
check("04.w1", place)
check("04.w2", entry)

# %% [markdown]
# ## Predict
#
# A buffer of 1024 pages is prefetched from RAM to gpu0.
#
# * `meanwhile`: while the pages are copied, what does the CPU's table have for them? It names `"RAM"` as before, or `"VRAM"` already, or it has
#   `"a migration entry"`, which lets nobody in.
#
# Now one page, number 700, is *pinned*: a network card writes into it, so it must not move.
#
# * `moved`: how many pages are in VRAM after the call? `"none"`, `"700"` or `"1023"`.
# * `attempts`: how often does the driver try to collect the pages? `"once"`, `"four times"` or `"until it works"`.

# %% tags=["stub"]
mine = predict("04.p1", meanwhile=..., moved=..., attempts=...)

# %% tags=["solution"]
mine = predict("04.p1", meanwhile="a migration entry", moved="none", attempts="four times")

# %% [markdown]
# ## Run
#
# ### One page, six steps
#
# A buffer moves, and its log knows when each step began and how long it took.

# %%
p = sl.Process("mi210-two-hives", vram="64 MiB")
a = filled(p)
p.set_attr(a, access=["gpu0"], prefetch="gpu0")
p.run()
sl.show(sl.steps(p))

# %% [markdown]
# The same calls take the same time, to the nanosecond. So you can do it all once more, with a call that goes on by itself (`p.start`), and stop 1 ns before
# each next step. Each line is what holds *after* that step: what the tables of the CPU and gpu0 say of the first page, how much VRAM the buffer
# holds, and how many of its pages are *locked*, in RAM and in VRAM. A lock keeps everybody else from moving or freeing the page.

# %%
begins = [event.time_ns for event in p.log.events("step")]
ends = [begin - 1 for begin in begins[1:]] + [p.now]

p = sl.Process("mi210-two-hives", vram="64 MiB")
a = filled(p)
call = p.start.set_attr(a, access=["gpu0"], prefetch="gpu0")
for number, end in enumerate(ends, 1):
    p.advance(end - p.now)
    cpu, gpu0 = entries_of(p.driver, a.pages(0).start)[:2]
    held, locked = p.look.vram_used(0) // 4096, p.look.locked(a.span)
    print(f"after {number}  CPU: {cpu.says:<17}  gpu0: {gpu0.says:<7}  VRAM held: {held:>4}  locked: {locked}")

# %% [markdown]
# Read it line by line.
#
# 1. Each page is *collected*: locked, and its entry replaced by a *migration entry*, which makes whoever touches the page wait. The frames are still those
#    in RAM.
# 2. The buffer holds 1024 pages of VRAM. Nothing is in them.
# 3. The new pages are locked, and the copy engine has its orders. The driver does not wait for it yet.
# 4. The kernel moves its own notes on each page to the new one. Then the driver waits for the copies.
# 5. Now the CPU's entries name VRAM. Both pages of each pair are unlocked, and the one in RAM is free.
# 6. gpu0's table has an entry. Only now is the buffer of use to gpu0.
#
# The bytes are out of reach from step 1 to step 5. No table names VRAM before all of them are there.
#
# ### VRAM in pieces
#
# The driver's allocator gives VRAM in *nodes*: pieces without a gap. If VRAM is full of other things, a buffer gets several. Here gpu0 has three free
# pieces, of 100, 1024 and 176 pages, for a buffer of 1300:

# %%
p = sl.Process("mi210-two-hives", vram="64 MiB")
p.vram_layout("gpu0", [(1, 100), (4096, 1024), (8192, 176)])
a = filled(p, "5200 KiB")
p.set_attr(a, access=["gpu0"], prefetch="gpu0")
sl.show(sl.vram_map(p, "gpu0"))

# %% [markdown]
# ### Batches and windows
#
# The copy engine, SDMA, writes to one piece of VRAM at a time. So the driver hands it one *batch* for each node, in the order in which the buffer uses them:

# %%
for event in p.log.events("copy"):
    print(event.fields["npages"], "pages to VRAM page", event.fields["vram_page"])
print("windows:", p.log.field("copy_window", "npages").tolist())

# %%
begins = [event.time_ns for event in p.log.events("step")]
sl.show(sl.timeline(p, zoom=(begins[2] - 10_000, begins[4] + 50_000)))

# %% [markdown]
# RAM is scattered, page by page. The engine sees it through a *window* of 512 entries in a table of the GPU, the GART (graphics address remapping table).
# For each 512 pages, one job fills the window and one job copies. The batch of 1024 pages needs two windows; 176 and 100 pages need one each, although
# 276 pages would fit in one.
#
# The engine works through the windows in order. Meanwhile the driver is in step 4 already, and then waits for one *fence*, that of the last
# copy: when it signals, all earlier copies are done too.
#
# ### In the middle of a node
#
# Where VRAM is empty the allocator takes the largest power of two that fits, from 512 pages on, and then the rest. `a.pages(100, 700)` names 700 of the
# pages, from number 100 on. They come home, and go to their old place again:

# %%
p = sl.Process("mi210-two-hives", vram="64 MiB")
a = filled(p, "5200 KiB")
p.set_attr(a, access=["gpu0"], prefetch="gpu0")
print("batches", p.log.field("copy", "npages").tolist(), "windows", p.log.field("copy_window", "npages").tolist())
p.set_attr(a.pages(100, 700), prefetch="cpu")
old = p.log.count("copy"), p.log.count("copy_window")
p.set_attr(a.pages(100, 700), prefetch="gpu0")
print("batches", p.log.field("copy", "npages")[old[0] :].tolist(), end=" ")
print("windows", p.log.field("copy_window", "npages")[old[1] :].tolist())

# %% [markdown]
# 1300 pages lie in nodes of 1024 and 276 pages. The 700 pages are a batch that begins in the middle of the first node. Its windows are counted from its
# own first page: 512 and 188, not 412 and 288.
#
# ### Pages that cannot be collected
#
# Page 700 is pinned, as in your prediction.

# %%
p = sl.Process("mi210-two-hives", vram="64 MiB")
a = filled(p)
p.pin(a.pages(700))
try:
    p.set_attr(a, access=["gpu0"], prefetch="gpu0")
except sl.DriverError as error:
    print(error)
for event in p.log.events("migrate_setup"):
    print(event)

# %% [markdown]
# Each attempt collects 1023 pages, finds that one is missing, and puts all of them back. The error is called ENOMEM, out of memory, although no memory is
# missing. What did it cost?

# %%
p.run()
sl.show(sl.timeline(p, since=p.log.events("migrate_start")[0].id))
sl.show(sl.pagemap(p, a))

# %% [markdown]
# The queues of all GPUs stood still for a millisecond, for nothing. But every byte is in RAM, and gpu0 maps it there.
#
# Four attempts help only against a lock that somebody holds for a moment; the stepper below has one.
#
# ### What you predicted

# %%
compare(mine)

# %% [markdown]
# ## Explain
#
# Two misconceptions.
#
# **A misconception:** "A migration copies the buffer in one piece." It copies a batch for each node, and a window for each 512 pages of a batch. Where the
# pieces end depends on what else is in VRAM, and nobody who uses the buffer can tell.
#
# **A misconception:** "A migration that fails half-way leaves half of the pages moved." Here, all move or none. Let something else fail in each run: no VRAM
# (`vram_alloc`), a page of RAM that cannot be shown to the copy engine (`dma_map`), the second of three copies (`copy`), or all copies are sent and do not
# finish (`fence`).

# %%
for fault, nth in (("vram_alloc", 1), ("dma_map", 600), ("copy", 2), ("fence", 1)):
    p = sl.Process("mi210-two-hives", vram="64 MiB")
    p.vram_layout("gpu0", [(1, 100), (4096, 1024), (8192, 176)])
    a = filled(p, "5200 KiB")
    p.inject(fault, nth=nth)
    try:
        p.set_attr(a, access=["gpu0"], prefetch="gpu0")
    except sl.DriverError as error:
        print(f"{fault:<10} {error}")
    p.run()
    held, everywhere = p.look.vram_used(0), bool((p.gpu_read("gpu0", a) == 7).all())
    print(f"{'':<10} VRAM held: {held}; gpu0 reads 7 everywhere: {everywhere}")

# %% [markdown]
# (EIO is an error of input or output.) Whatever fails, nothing has moved: the old pages are not freed before step 5, so the driver can always put back what
# was there. The VRAM is given back, and gpu0 reads the bytes from RAM.
#
# Pages of a file are a case of their own. They are collected and copied; then step 4 cannot give them up, since the file owns them. That is no error:

# %%
p = sl.Process("mi210-two-hives", vram="64 MiB")
a = filled(p, kind="file", file="data")
p.set_attr(a, access=["gpu0"], prefetch="gpu0")
print(*p.log.events("driver_fallback"), *p.log.events("migrate_end"), sep="\n")

# %% [markdown]
# Later kernels gave up the rule "all or none". They try once and move what they have collected. A model of such a kernel, with 128 pinned pages:

# %%
p = sl.Process("mi210-two-hives", vram="64 MiB", behaviour="upstream")
a = filled(p)
p.pin(a.pages(640, 128))
p.set_attr(a, access=["gpu0"], prefetch="gpu0")
p.run()
sl.show(sl.pagemap(p, a))

# %% [markdown]
# ## Explore
#
# The stepper prefetches 4 MiB to gpu0, and something is in the way. Choose what, and step through it.

# %% tags=["nbval-ignore-output"]
stepper = HurdleStepper()
stepper

# %% [markdown]
# 1. VRAM in pieces: at which moment does the driver go on to step 4, and which copies are not done then?
# 2. A pinned page: who could reach the pages between two attempts, and who during one?
# 3. Which hurdle lets all copies be made, and yet no page moves?

# %%
stepper.static()

# %% [markdown]
# ## Exercises
#
# Each has three hints; `sl.course.hint("04.1")` prints the first one.
#
# ### 04.1 The state of a page
#
# Complete the table: after each step, the CPU's entry (`"migration"` or `"device"`), the page in RAM and the page in VRAM (each `"free"`, `"held"` for
# the buffer, `"locked"` or `"in use"`).

# %% tags=["stub"]
after = {
    1: ("migration", "locked", "free"),
    2: ("migration", ..., ...),
    3: ("migration", ..., ...),
    4: (..., "locked", "locked"),
    5: (..., ..., "in use"),
    6: ("device", ..., ...),
}
check("04.1", after)

# %% tags=["solution"]
after = {
    1: ("migration", "locked", "free"),
    2: ("migration", "locked", "held"),
    3: ("migration", "locked", "locked"),
    4: ("migration", "locked", "locked"),
    5: ("device", "free", "in use"),
    6: ("device", "free", "in use"),
}
check("04.1", after)

# %% [markdown] tags=["solution"]
# **Why.** Until step 5 both pages are locked and no table names the new one, so going back is as easy as going on. Step 5 is the point of no return: it
# changes the entry and frees the old page. Step 6 changes gpu0's table, and nothing about the page.

# %% [markdown]
# ### 04.2 Count the windows
#
# Write a function that gets the sizes of the nodes, in pages, and returns how many windows the copy takes. The sizes may be any:
# other allocators give other nodes. About 1 line.


# %% tags=["stub"]
def windows(nodes):
    raise NotImplementedError


check("04.2", windows)


# %% tags=["solution"]
def windows(nodes):
    return sum((npages + 511) // 512 for npages in nodes)


check("04.2", windows)

# %% [markdown] tags=["solution"]
# **Why.** A node is a batch, and a window never holds pages of two batches. So each node is rounded up by itself: many small nodes cost more
# windows than the number of pages says.

# %% [markdown]
# ### 04.3 Fail, and succeed
#
# "A buffer of 4 MiB and 64 MiB of free VRAM: the prefetch to gpu0 will succeed." Show that this is false. `spoil(p, a)` does something before the
# prefetch, so that it fails as often as it is tried, and every byte of the buffer stays 7. `mend(p, a)` makes it succeed again. One line each.


# %% tags=["stub"]
def spoil(p, a):
    raise NotImplementedError


def mend(p, a):
    raise NotImplementedError


check("04.3", (spoil, mend))


# %% tags=["solution"]
def spoil(p, a):
    p.pin(a.pages(0))


def mend(p, a):
    p.unpin(a.pages(0))


check("04.3", (spoil, mend))

# %% [markdown] tags=["solution"]
# **Why.** One page that cannot be collected keeps all 1024 in RAM, and the attempts do nothing about the pin. The driver puts every page back, so
# no byte is lost. `p.vram_layout` with too few free pages fails too, in step 2.

# %% [markdown]
# ## Key points
#
# * From step 1 to step 5 a migration entry keeps everybody out; no table names VRAM before the bytes are there (list in *One page, six steps*).
# * A node of VRAM is a batch, and a batch is copied in windows of 512 pages, counted from its start (lists in *Batches and windows*).
# * The driver submits all copies and waits once, for the last fence (timeline in *Batches and windows*).
# * All pages are collected, or none moves: four attempts, then ENOMEM (list in *Pages that cannot be collected*).
# * A failure on the way leaves every byte in RAM (list in *Explain*).

# %% [markdown]
# ## From model to kernel
#
# | here | in the kernel |
# |---|---|
# | the six steps of a range | `svm_migrate_ram_to_vram` (kfd_migrate.c), piece by piece `svm_migrate_vma_to_vram` (kfd_migrate.c) |
# | step 1, and its migration entries | `migrate_vma_setup` (migrate.c), `migrate_vma_unmap` (migrate.c) |
# | steps 2 and 3 | `svm_migrate_copy_to_vram` (kfd_migrate.c) |
# | a batch and its windows | `svm_migrate_copy_memory_gart` (kfd_migrate.c), `svm_migrate_gart_map` (kfd_migrate.c) |
# | step 4 and the fence | `migrate_vma_pages` (migrate.c), `svm_migrate_copy_done` (kfd_migrate.c) |
# | step 5 | `migrate_vma_finalize` (migrate.c) |
#
# As posted in March 2021, the patch differs from what you saw where something fails. It drops the result of the copy step, returns success and records the
# buffer as being in VRAM (D1); the restore worker then maps VRAM that was never written, and gpu0 reads zeros (D2). A copy that fails at the end of a node
# can lose one page (D6), and pages of a file are taken for moved (D7). The four attempts are as posted (D12), and so is what they cost (D13); Linux 5.14 and
# later move what they can.

# %% [markdown] tags=["stub"]
# ## Next
#
# Notebook 05, *Coming back*: what a CPU touch does to a buffer in VRAM. Answers with reasons are in
# [the version with solutions](solutions/04_ram_to_vram.ipynb).

# %% [markdown] tags=["solution"]
# ## Next
#
# Notebook 05, *Coming back*: what a CPU touch does to a buffer in VRAM. Work in
# [the version without solutions](../04_ram_to_vram.ipynb).
