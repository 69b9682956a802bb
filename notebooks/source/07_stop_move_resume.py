# %% [markdown]
# # 07 Stop, move, resume
#
# **Why do all queues stop, and who starts them again?**
#
# About 40 minutes. It needs notebooks 00 to 04. GPUs take no page faults here: xnack is off, except where it says otherwise.

# %% [markdown]
# ## You will be able to
#
# * **trace** a change of a page to the stop of the queues, to the restore, and to their start,
# * **say** what a second change does before, during and after the restore, and read an order in which it does harm,
# * **tell** a stop of the queues from a move of pages.
#
# ## Setup
#
# `mapped` makes a buffer of 2 MiB (512 pages) in RAM, which gpu0 maps, and a queue of gpu0. Buffer a begins at page 0xa00000 and b at page 0xb00000,
# so you can tell them apart in the log. `reclaim` and `story` are explained where they are used.

# %%
import svmlab as sl
from svmlab.course import check, compare, predict
from svmlab.resources import data_path
from svmlab.svm.queue_state import transition_table
from svmlab.svm.translate import entries_of
from svmlab.widgets import RestoreRace


def mapped(p, name):
    buffer = p.mmap("2 MiB", name=name, at=f"0x{name}00000000", populate=True)
    p.set_attr(buffer, access=["gpu0"])
    p.create_queue("gpu0")
    p.run()
    return buffer


# %%
def reclaim(p, *hits):
    since, begin = len(p.log), p.now
    for us, pages in hits:
        p.advance(begin + 1000 * us - p.now)
        p.start.swap_out(pages)
    p.run()
    return since


def story(p, title):
    print(title)
    events = p.log.events("evict", "restore_start", "restore_range", "restore_end")
    for event in events:
        print(f"  {(event.time_ns - events[0].time_ns) / 1000:>4.0f} us  {event}")


# %% [markdown]
# ## Warm-up
#
# Two questions on earlier notebooks.
#
# 1. A migration has six steps. In which one do the queues run again? Give its number.
# 2. gpu0 has access to a buffer of 8 pages in RAM, which prefers gpu0. xnack is off, and gpu0 reads all of it. How many pages move?

# %% tags=["stub"]
step = ...
moved = ...
check("07.w1", step)
check("07.w2", moved)

# %% tags=["solution"]
step = 6
moved = 0
check("07.w1", step)
check("07.w2", moved)

# %% [markdown]
# ## Predict
#
# The machine `toy` has three GPUs. gpu0 maps buffer a, and gpu1 works on buffer b, which has nothing to do with a. The program makes page 0 of a
# read-only, with `mprotect`.
#
# * `other`: what do the queues of gpu1 do? They `"run on"`, or they `"stop"`.
# * `pages`: how many pages move between RAM and VRAM? `"none"`, `"1"` or `"512"`.
# * `length`: how long do gpu0's queues stand still? `"less than 1 ms"`, `"1 ms to 2 ms"` or `"more than 2 ms"`.
#
# Then the kernel takes page 0 of a away for its *swap*, the disk space that stands in for RAM. The driver begins to repair that. In the midst of it
# the kernel takes page 1 too.
#
# * `passes`: how often is the driver at this repair, in all? `"once"`, `"twice"` or `"three times"`.

# %% tags=["stub"]
mine = predict("07.p1", other=..., pages=..., length=..., passes=...)

# %% tags=["solution"]
mine = predict("07.p1", other="stop", pages="none", length="1 ms to 2 ms", passes="twice")

# %% [markdown]
# ## Run
#
# ### One page changes
#
# gpu1 is told to write to b while the queues stand still. Below the picture is a chain of events: each line was caused by the one above it.

# %%
p = sl.Process("toy")
a, b = mapped(p, "a"), mapped(p, "b")
p.set_attr(b, access=["gpu1"])
since = len(p.log)
p.mprotect(a.pages(0), "r")
p.start.gpu_write("gpu1", b, 9)
p.run()
sl.show(sl.timeline(p, since=since))
print(sl.why(p.log.events("queue_restore", since=since)[0]))

# %% [markdown]
# One page of a has changed, and gpu1, which wants to write to b, waits for more than 1 ms. The driver does not ask who uses the page: it stops all queues
# of the process. Who let them run again? The chain tells:
#
# 1. The CPU's page table changes, and the kernel says so before it happens. What it calls is the *notifier* of the range (MMU stands for memory management
#    unit). The change is called an
#    *invalidation*: what the driver knew of these pages is no longer valid.
# 2. The notifier counts. The range has a count of its own, *invalid*, and the process has *evictions*. The first eviction stops the queues: they are
#    *evicted*. That word does not speak of pages.
# 3. It orders a *restore worker*, which starts 1 ms later. The program goes on meanwhile. (The stop itself takes time, here 100 us for the queue of gpu0. So
#    further down the worker starts 1100 us after the first count.)
# 4. The worker maps the range, and lets the queues run, or *resumes* them.
#
# ### Why they stop
#
# Now the kernel writes page 0 to swap. You stop the clock 0, 500, 1110 and 1300 us after it began, and look at the entries for the page in both tables,
# with the number of the frame (-1: none). After 500 us somebody makes a new buffer.

# %%
p = sl.Process("toy")
a = mapped(p, "a")
p.start.swap_out(a.pages(0))
for wait in (0, 500, 610, 190):
    p.advance(f"{wait} us")
    cpu, gpu0 = entries_of(p.driver, a.pages(0).start)[:2]
    print(f"{p.look.state().name:<8} CPU: {cpu.says:<15} {cpu.frame:>4}   gpu0: {gpu0.says} {gpu0.frame:>4}")
    if wait == 500:
        new = p.mmap("4 KiB", populate=True)
        print(f"{'':<8} the new buffer has frame {entries_of(p.driver, new.pages(0).start)[0].frame}")

# %% [markdown]
# After 500 us the page is in swap, and its frame belongs to somebody else. Yet gpu0's table still names it: nobody has cleared the entry. It does no
# harm, since no queue runs that could use it. A GPU without faults cannot wait at one page; it can only be stopped as a whole.
#
# After 1110 us the worker is at work. It has brought the page back from swap, into another frame. After 1300 us gpu0's table names that one too.
#
# ### The steps of the worker
#
# Step 3 is lit:

# %%
sl.show(sl.steps("restore_work", at=3))

# %% [markdown]
# The locks of step 2 keep program calls out; *deferred work* is work that other parts of the driver left for later, as notebook 10 tells. *Validate* means:
# have every page in a frame, and learn which frame it is. The steps 3 and 4 may *give up*. When does that happen?
#
# ### A second page
#
# *Reclaim*, the part of the kernel that looks for free RAM, waits for none of the worker's locks. So it can take page 1 at any time. Here `reclaim` writes
# page 0 to swap at once, and page 1 later: after 500, 1110 or 1300 us. `story` prints what counts; its clock begins with the first count. Each time that
# the worker runs is a *pass*.

# %%
for us in (500, 1110, 1300):
    p = sl.Process("toy")
    a = mapped(p, "a")
    reclaim(p, (0, a.pages(0)), (us, a.pages(1)))
    story(p, f"page 1 goes {us} us after page 0")

# %% [markdown]
# * **Before** the worker starts: counts only. The queues are stopped and the worker is ordered, so one pass serves both.
# * **During** its pass: the worker has read 1 and finds 2. It gives up, and there is a second pass 1 ms later.
# * **After** it: the counts were 0 again, so this is a first eviction, with a stop and an order of its own.
#
# ### What you predicted

# %%
compare(mine)

# %% [markdown]
# ## Explain
#
# ### Three states
#
# With xnack off the queues of a process are in one of three states. This is the table that the model itself runs by:

# %%
print(transition_table())

# %% [markdown]
# In EVICTED and in RESTORE an invalidation only counts: there is nothing left to stop. But in RESTORE it decides which of the last two rows comes next.
# Rescheduling means that the worker starts over 1 ms later, with the queues still stopped.
#
# ### Compare and exchange
#
# The worker must not simply set a count to 0, for a hit that came in the midst of its work would be forgotten, and gpu0 would run with an entry that
# nobody repaired. So it *compares and exchanges*, in one step that nobody can interrupt: if the count is still what I read, set it to 0; if not, leave it.
#
# It does that at the end of each range, with the range's own count, and at the end of all, with the evictions. What it compares with is what it read when it came to the range,
# and when it had its locks. Two buffers are hit at once. The worker
# takes them in the order in which they were registered. While it is at b, reclaim takes another page of a:

# %%
p = sl.Process("toy")
a, b = mapped(p, "a"), mapped(p, "b")
reclaim(p, (0, a.pages(0)), (0, b.pages(0)), (1140, a.pages(1)))
story(p, "a is hit again while the worker is at b")

# %% [markdown]
# The count of a went from 1 to 0 when a was done, and the hit made it 1 again. So b's own count gives no reason to give up; the evictions do: 3 instead of 2.
# The next pass takes a alone. b keeps its 0 and is passed over. A range that does not pass its own comparison ends the pass at once, and all ranges behind
# it wait.
#
# ### A stop is not a move
#
# **A misconception:** "Eviction means that data moved." It means that queues stop, and most of what stops them moves nothing. Six calls, and for each: on
# how many of the three GPUs do the queues stop, and how many pages move between RAM and VRAM?

# %%
calls = {
    "mprotect": lambda p, a: p.mprotect(a.pages(0), "r"),
    "fork": lambda p, a: p.fork(exit_child=True),
    "swap_out": lambda p, a: p.swap_out(a.pages(0)),
    "discard": lambda p, a: p.discard(a.pages(0)),
    "munmap": lambda p, a: p.munmap(a.pages(0)),
    "prefetch": lambda p, a: p.set_attr(a, prefetch="gpu0"),
}
for name, call in calls.items():
    p = sl.Process("toy")
    a = mapped(p, "a")
    call(p, a)
    p.run()
    stopped = p.log.count("queue_eviction")
    print(f"{name:<9} GPUs stopped: {stopped}  pages moved: {sum(p.log.field('migrate_end', 'npages'))}")

# %% [markdown]
# All but one stop the queues, and one moves pages: a migration is one change of the CPU's table among others. `discard` throws contents away. `munmap` has a
# way of its own, in notebook 10. The word has two meanings in the driver: pages are *evicted
# from VRAM* when that is full, and that does move them; notebook 09 has it.
#
# ### With xnack on
#
# A GPU that takes faults can wait at a single page. Then nothing has to stop. gpu0 reads a once, and a fault maps it; 2 ms later the page changes:

# %%
p = sl.Process("toy", xnack=True)
a = mapped(p, "a")
p.gpu(0).read(a)
p.advance("2 ms")
since = len(p.log)
p.mprotect(a.pages(0), "r")
print("gpu0 has", entries_of(p.driver, a.pages(0).start)[1].says, "for page 0; its queues are", p.look.queues(0))
p.gpu(0).read(a.pages(0))
for event in p.log.events("notifier", "unmap_from_gpu", "evict", "restore_start", "page_fault_end", since=since):
    print(event)

# %% [markdown]
# The notifier clears gpu0's entry at once. No count, no worker: the next touch of gpu0 is a fault, and the fault maps the page. Notebook 08 is about it.
#
# ### Every order
#
# You chose three moments for the second hit. What if it came at any other? `sl.explore` runs a program in every order in which its tasks can get in each
# other's way. A task may be switched before it takes a lock, and at named points such as *before the first exchange*. To leave a task that could go on is a
# *preemption*. Here are two hits of one buffer of 4 pages, in all orders with at most one:

# %%
races = data_path("scenarios", "races")
two_hits = sl.explore(races / "two-invalidations-restore.toml", preemptions=1)
print(two_hits)
print(two_hits.story(2))

# %% [markdown]
# A row is an outcome: how many *orders* lead to it, how many preemptions the shortest of them needs at *least*, and how often a pass was *given up*.
# Whatever the order, the bytes are right. In the second row the worker starts over, and below it you see the shortest way there.
#
# Now two buffers, a and b, of which reclaim takes a page each at the same time, and the driver as it was posted in March 2021:

# %%
posted = sl.explore(races / "two-ranges-reclaimed.toml", preemptions=1, behaviour="as-posted")
print(posted)
print(posted.story(1))

# %% [markdown]
# In two orders of 32 a GPU can reach, for a moment, a frame that does not hold its page any more. Three moments that somebody picked would hardly have met
# them. What is wrong in that order is exercise 07.4.
#
# ## Explore
#
# The race of *A second page*, with a slider for the moment of the second hit, and a choice of whose page it is. The lab calls a pass a round.
#
# 1. It starts with a hit during the pass. Make it a little later, in steps of 10 us: from which time on does the worker no longer start over?
# 2. Choose another buffer at 1110 us. Which ranges does the second pass restore, and why so few?
# 3. Set 500 us, then 1400 us. In which of the two do the queues stand still longer in all, and why?

# %% tags=["nbval-ignore-output"]
race = RestoreRace()
race

# %%
race.static()

# %% [markdown]
# ## Exercises
#
# Each has three hints; `sl.course.hint("07.1")` prints the first one.
#
# ### 07.1 Order the steps
#
# A page of a range goes to swap, and nothing else happens. Put the steps in order. Two pieces do not belong. Write the letters as one text.
#
# | | piece |
# |---|---|
# | A | give up if any eviction was counted meanwhile |
# | B | restore worker in 1 ms |
# | C | resume the queues |
# | D | unmap what changes from the GPUs |
# | E | stop the queues |
# | F | take process_info lock, flush deferred work and take mmap_lock for writing, take the svms lock |
# | G | move the page to VRAM |
# | H | mark what changes as invalid; count the eviction |
# | I | validate and map each invalid range; give up if it changed meanwhile |

# %% tags=["stub"]
steps = ...
check("07.1", steps)

# %% tags=["solution"]
steps = "HEBFIAC"
check("07.1", steps)

# %% [markdown] tags=["solution"]
# **Why.** The notifier does H, E and B; the worker does the rest, behind its locks. D is what happens with xnack on. G does not happen at all: the page comes
# back from swap into RAM, where the range is.

# %% [markdown]
# ### 07.2 Who is in the second pass?
#
# Four buffers, `"a"` to `"d"`, registered in this order. Some of them are hit at first. Later reclaim hits one more page, while the worker is in its
# first pass. Write a function that returns the list of the buffers that the second pass restores, in order. It gets
#
# * `invalid`: the list of those hit at first, as in `["a", "c"]`,
# * `at`: the one among them that the worker restores just then,
# * `hit`: whose page is taken then; any of the four.
#
# About 5 lines. The check lets the driver run every case.


# %% tags=["stub"]
def second_pass(invalid, at, hit):
    raise NotImplementedError


check("07.2", second_pass)


# %% tags=["solution"]
def second_pass(invalid, at, hit):
    if hit == at:
        return [name for name in invalid if name >= at]
    return [hit] if hit < at else []


check("07.2", second_pass)

# %% [markdown] tags=["solution"]
# **Why.** There is always a second pass, since the evictions changed. If the range at work is hit, its own comparison fails, and all that come behind it are
# left. If one before it is hit, it was done or passed over, and is invalid again. If one behind it is hit, the worker comes to it yet, reads its count
# only then, and restores it in the first pass. The second one restores nothing, and lets the queues run.

# %% [markdown]
# ### 07.3 Longer than 3 ms
#
# "The restore worker comes after 1 ms, so a stop ends within 3 ms, unless pages move to VRAM or back." Write a program as a counter-example. `p` is a new
# process on `toy`, and `a` a buffer of 2 MiB as in *A second page*. About 5 lines; the check lets the process run on for 10 ms after it.


# %% tags=["stub"]
def long_stop(p, a):
    raise NotImplementedError


check("07.3", long_stop)


# %% tags=["solution"]
def long_stop(p, a):
    p.start.swap_out(a.pages(0))
    p.advance("1110 us")
    p.start.swap_out(a.pages(1))
    p.advance("1060 us")
    p.start.swap_out(a.pages(2))


check("07.3", long_stop)

# %% [markdown] tags=["solution"]
# **Why.** Each hit during a pass costs one more pass, and each pass waits 1 ms first. The first pass goes from about 1100 us to 1160 us; the second one starts
# 1 ms after that. The hit at 2170 us meets it, and a third pass is needed. Nothing in the driver limits how often this can happen.

# %% [markdown]
# ### 07.4 The order that loses a store
#
# The last story in *Every order* has four numbered lines. In one of them a task relies on something that is not so. It harms only who touches b just then:
# let gpu0 store 9 to page 0 of b, which holds 2, so that the store is lost.
#
# Give the number of that line, and an order: a list of texts `"TASK until POINT"`, such as `"main: swap_out until before the queues stop"`. The tasks are
# those of the story and `"main: gpu_write"`; `"its end"` is a point, too. The check runs the driver as posted in your order.

# %% tags=["stub"]
line, order = ..., ...
check("07.4", (line, order))

# %% tags=["solution"]
line = 2
order = [
    "main: swap_out until before the queues stop",
    "main: swap_out #2 until its end",
    "main: gpu_write until its end",
]
check("07.4", (line, order))

# %% [markdown] tags=["solution"]
# **Why.** Who counts the first eviction stops the queues; whoever counts more takes it that they stand. But between counting and stopping some time passes. In
# line 2 the second reclaim counts 2, goes on at once, and gives its page away, while gpu0 runs and still has the old entry. What it stores there, nobody will
# read. The model's default waits in line 2 until the queues stand, so your order does not fit it. Later kernels, as far as they were read, return as well.

# %% [markdown]
# ## Key points
#
# * With xnack off, a change of the CPU's entries for a range stops all queues of the process (timeline in *One page changes*), because the GPU's entries
#   are left as they are (output in *Why they stop*).
# * A worker maps what is invalid 1 ms later, and resumes the queues (output of `sl.why`, table in *Three states*).
# * It compares each count before it sets it to 0; a hit during its pass costs one more pass (outputs in *A second page* and *Compare and exchange*).
# * A stop moves nothing by itself; with xnack on nothing stops (outputs in *A stop is not a move* and *With xnack on*).
# * Who relies on another task to have stopped the queues can be wrong for a moment (table in *Every order*).

# %% [markdown]
# ## From model to kernel
#
# | here | in the kernel |
# |---|---|
# | the notifier of a range | `svm_range_cpu_invalidate_pagetables` (kfd_svm.c) |
# | count, stop, schedule; with xnack on: unmap | `svm_range_evict` (kfd_svm.c) |
# | all queues of the process stop, or resume | `kgd2kfd_quiesce_mm` (kfd_device.c), `kgd2kfd_resume_mm` (kfd_device.c) |
# | the restore worker | `svm_range_restore_work` (kfd_svm.c) |
# | validate and map | `svm_range_validate` (kfd_svm.c) as posted, later `svm_range_validate_and_map` (kfd_svm.c) |
# | "restore starts over" | `kfd_smi_event_queue_restore_rescheduled` (kfd_smi_events.c), in later kernels |
#
# As posted in March 2021, and in the model here, a range that no GPU maps stops the queues too; that is part of D13, and later kernels look first. As
# posted, the worker also read the evictions before it had its locks: if it had to wait for them, a count that rose
# meanwhile made it start over for nothing (X34). The model here reads it with the locks held, as a later patch of the same series does. Also as posted, the notifier stopped the
# queues with xnack on as well (D22).
#
# ## From HIP to here
#
# | HIP | here |
# |---|---|
# | `hipMemPrefetchAsync` to a GPU or to the CPU, xnack off | `prefetch`: pages move, and all queues stop |
# | `hipMemAdvise` with `hipMemAdviseSetAccessedBy`, then `mprotect` or `fork` by the program | `access_in_place`: no page moves, and all queues stop |
#
# The HIP runtime was not examined for this table.

# %% [markdown] tags=["stub"]
# ## Next
#
# Notebook 08, *A GPU fault*: what happens where nothing has to stop. Answers with reasons are in
# [the version with solutions](solutions/07_stop_move_resume.ipynb).

# %% [markdown] tags=["solution"]
# ## Next
#
# Notebook 08, *A GPU fault*: what happens where nothing has to stop. Work in
# [the version without solutions](../07_stop_move_resume.ipynb).
