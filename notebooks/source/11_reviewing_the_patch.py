# %% [markdown]
# # 11 Reviewing the patch
#
# **What is wrong with a patch that looks right, and how do you prove it?**
#
# About 40 minutes. It needs notebooks 00 to 04 and 07.

# %% [markdown]
# ## You will be able to
#
# * **read** a patch with three questions, and list what you suspect,
# * **prove** a suspicion by an experiment that changes one decision, or drop it,
# * **judge** whether a later kernel has mended what you found.

# %% [markdown]
# ## Setup
#
# `perform` runs a program on a version of the driver, and then lets the machine run until it is idle. The program gets a process `p` and a buffer `a` of 8
# pages in RAM, of which page 0 holds the byte 1, page 1 the byte 2, and so on. `experiment` prints what the program was told and what everybody reads in the end.

# %%
import svmlab as sl
from svmlab.course import check, compare, predict
from svmlab.course.bank.nb11 import SYMPTOMS
from svmlab.resources import data_path
from svmlab.scenario.experiment import perform
from svmlab.svm.behaviour_table import SLOTS
from svmlab.widgets import DefectLab


# %%
def experiment(act, behaviour="as-posted", **options):
    done = perform(act, behaviour, **options)
    print(f"told {done.answer:<7} gpu0 reads {list(done.read_by('gpu0'))}  the CPU reads {list(done.read_by('cpu'))}")


def move(p, a):
    p.set_attr(a, access=["gpu0"], prefetch="gpu0")


# %% [markdown]
# ## Warm-up
#
# Two questions on earlier notebooks.
#
# 1. A migration has six steps. In which one do the CPU's entries name the new pages? Give its number.
# 2. xnack is off, and pages have moved to VRAM. Who maps them for the GPUs: `"the call"`, `"the restore worker"` or `"a GPU fault"`?

# %% tags=["stub"]
step = ...
who = ...
check("11.w1", step)
check("11.w2", who)

# %% tags=["solution"]
step = 5
who = "the restore worker"
check("11.w1", step)
check("11.w2", who)

# %% [markdown]
# ## Predict
#
# ### The patch
#
# Patch 18 of 44, posted in March 2021, brings the way from RAM to VRAM. This is what it does, in our words. A *range* covers one mapping or several, and a *part* is what
# of it lies in one mapping.
#
#     to_vram(range, gpu)
#      1  address = the first page of the range
#      2  while address is in the range:
#      3      mapping = the one at address; is there none, leave the loop
#      4      part = what of the range lies in the mapping
#      5      result = migrate(range, part, gpu); on an error, leave the loop
#      6      address = the page behind the part
#      7  if result is no error: location of the range = gpu
#      8  return result
#
#     migrate(range, part, gpu)
#      9  up to four times: collect the pages of the part, until all are collected
#     10  if not all: put them back, return ENOMEM
#     11  copy(range, part, gpu)
#     12  move the structures of those pages that have a destination
#     13  wait for the copies
#     14  let the CPU's entries name the new pages, free the old ones
#     15  return what the collecting returned
#
#     copy(range, part, gpu)
#     16  has the range no VRAM: allocate it for the whole range, as it is; on an error, return it
#     17  for each page i of the part, from 0 on:
#     18      its destination = page i of the range's VRAM; lock that
#     19      if the next page of VRAM is elsewhere: submit a copy of what is pending; on an error, go to 22
#     20  submit the rest; on an error, go to 22
#     21  return 0
#     22  for each page before i: unlock its destination, and forget it; return the error
#
# Read it before you go on, with three questions at each step:
#
# * Can it **fail**, and who hears of it?
# * Is it done for **one**, where there may be several?
# * What is **true** when it is left early?

# %% [markdown]
# Now two experiments on the patch. In the first, the copy fails. In the second nothing fails, but the range covers two mappings of 4 pages each.
#
# * `answer`: the copy fails. What does `set_attr` return? `"0"` or `"EIO"`.
# * `gpu0`: what does gpu0 read then? `"1 to 8"`, `"zeros"` or `"something else"`.
# * `cpu`: and the CPU? `"1 to 8"`, `"zeros"` or `"something else"`.
# * `two`: with two mappings, of how many of the 8 pages does the CPU read wrong bytes? `"0"`, `"4"` or `"8"`.

# %% tags=["stub"]
mine = predict("11.p1", answer=..., gpu0=..., cpu=..., two=...)

# %% tags=["solution"]
mine = predict("11.p1", answer="0", gpu0="zeros", cpu="1 to 8", two="4")

# %% [markdown]
# ## Run
#
# ### Can it fail, and who hears of it?
#
# Step 11 can fail, in three places of `copy`. Its result is used by nobody: step 15 returns another one. That is a suspicion. To prove it, let a copy fail:


# %%
def copy_fails(p, a):
    p.inject("copy")
    move(p, a)


experiment(copy_fails)
done = perform(copy_fails, "as-posted")
sl.show(sl.pagemap(done.process, done.buffer))
print(done.process.ranges())

# %% [markdown]
# The program was told that all is well. The CPU finds its bytes and gpu0 finds zeros: they work on different memory, as the page map shows, which is from before anybody read.
#
# ### Is it that step?
#
# Wrong bytes prove that something is wrong, and not yet what. So change one decision and nothing else. The model has each decision at which versions of the driver
# differ as a *slot*: a name with two or three options. `after_copy` is what becomes of an error of step 11.

# %%
experiment(copy_fails, {"base": "as-posted", "after_copy": "returned"})

# %% [markdown]
# The same failure, and all bytes are right. That is a proof in three parts: a program, what it should find, and a second run in which only the suspected
# decision is another. Where do the two runs part?

# %%
runs = [
    perform(copy_fails, behaviour).process
    for behaviour in ("as-posted", {"base": "as-posted", "after_copy": "returned"})
]
print(sl.compare(*runs))

# %% [markdown]
# They do the same up to the end of the migration. It moved 0 pages in both, and one of them says so.
#
# ### One, where there may be several?
#
# Step 18 speaks of page i of the range's VRAM, and i counts from the first page of the *part*. With one part that is the same. With two mappings:

# %%
experiment(move, kinds=("anonymous", "heap"))
experiment(move, {"base": "as-posted", "piece_place": "own-place"}, kinds=("anonymous", "heap"))

# %% [markdown]
# No error, nothing failed, and the bytes 1 to 4 are gone for good. The second part was copied over the first. gpu0 maps the VRAM from its start on, so it reads that in its
# first half, and in the other half VRAM that nobody wrote.
#
# ### A suspicion that is wrong
#
# Step 12 moves the structures of the pages, and only step 13 waits until the bytes are there. Can the CPU read a page in between, and get what is not there yet? The
# experiment: let it read at many moments.

# %%
for us in (20, 30, 40, 50, 60, 70):
    p = sl.Process("toy", behaviour="as-posted")
    a = p.mmap("32 KiB", name="a")
    a[:] = 7
    p.start.set_attr(a, access=["gpu0"], prefetch="gpu0")
    p.advance(us * 1000)
    begin, read = p.now, p.start.cpu_read(a.pages(3))
    p.run()
    finalize = p.log.events("migrate_finalize")[0].time_ns
    waits = [event.time_ns for event in p.log.events("cpu_fault")] == [finalize]
    print(
        f"starts {(begin - finalize) / 1000:>6.1f} us from step 14: reads {read.result()[0]}, waits until then: {waits}"
    )

# %% [markdown]
# It always reads 7. Meanwhile the CPU's entries are *migration entries*: who touches one waits until step 14 has replaced it, and that comes behind step 13.
#
# Six moments are not all. `sl.explore` runs a scenario in every order in which its tasks can get in each other's way, here with one *preemption* at most
# (notebook 07). The CPU writes 9 to page 1 of a buffer full of 7, while a prefetch moves it:

# %%
race = data_path("scenarios", "races", "prefetch-cpu-fault.toml")
for behaviour in ("as-posted", {"base": "as-posted", "map_source": "page-table"}):
    print(sl.explore(race, preemptions=1, behaviour=behaviour), end="\n\n")

# %% [markdown]
# In each order the CPU's bytes are right: the suspicion is dropped, and half of a review is that. But orders of the posting are wrong otherwise: gpu0 maps frames that do not hold the pages.
# It had entries for RAM before, and the driver keeps those addresses over the move. With that decision changed nothing is wrong. Who looks for one defect finds others.
#
# ### What later kernels do
#
# The two experiments, and a third one, by three versions. In the third, the *fence* of the copies reports an error: step 13 waits, and the bytes never came.


# %%
def fence_fails(p, a):
    p.inject("fence")
    move(p, a)


for version in ("as-posted", "as-intended", "upstream"):
    print(version)
    experiment(copy_fails, version)
    experiment(move, version, kinds=("anonymous", "heap"))
    experiment(fence_fails, version)

# %% [markdown]
# In `upstream`, about Linux 7, two of the three are mended. After a failed copy it leaves the range in RAM and returns 0, so that the program goes on and works. The
# third one is still there.
#
# ### What you predicted

# %%
compare(mine)

# %% [markdown]
# ## Explain
#
# **A misconception:** "No error was returned, so it worked." Three of the experiments above returned 0 and lost bytes, for somebody.
#
# **A misconception:** "The defect is where the damage is." gpu0 read zeros because the *restore worker* mapped VRAM, a millisecond after the migration. Each of its steps was right, given
# what the range said. `sl.why` goes back from the mapping:

# %%
done = perform(copy_fails, "as-posted")
print(sl.why(done.process.log.events("map_to_gpu")[-1]))

# %% [markdown]
# The wrong fact, `actual` = gpu0, came from step 7, which believed step 15, which had not asked step 11.
#
# The decisions of patches 1 to 19 that have a name in the review and are intended otherwise:

# %%
for slot in SLOTS.values():
    posted, intended, _ = slot.presets
    tags = [tag for tag in slot.options[posted].tag.split(", ") if tag[0] == "D"]
    if tags and posted != intended:
        print(f"{tags[0]:<4}{slot.name:<22}{posted:<16} -> {intended}")

# %% [markdown]
# ## Explore
#
# Each choice is a program, run with the posted and with the intended option of one slot.

# %% tags=["nbval-ignore-output"]
lab = DefectLab()
lab

# %% [markdown]
# 1. In which of the six does the CPU read everything right, and gpu0 not?
# 2. Show the page map of `record_location`. Which of the two readers has the 77, and what does the other one map?
# 3. `home_walk`: six pages are wrong for the CPU. What does the posted option do at an empty entry, and which pages pay for it?

# %%
lab.static()

# %% [markdown]
# ## Exercises
#
# Each has three hints; `sl.course.hint("11.1")` prints the first one.
#
# ### 11.1 Which step?
#
# Five programs, run by the patch. `never` means that a read does not come back.
#
# | | the program |
# |---|---|
# | A | moves the buffer; the fence of the copies reports an error |
# | B | moves a buffer that is a file; then the CPU writes 77 to its page 2 |
# | C | maps the buffer for gpu0, lets page 3 go to swap, and then moves the buffer |
# | D | fills all VRAM with 99, frees it, and moves the buffer; the copy fails, as above |
# | E | has two mappings, page 6 is pinned, and moves the buffer |

# %%
for symptom in SYMPTOMS:
    print(symptom.letter, end=" ")
    experiment(symptom.act, kinds=symptom.kinds)

# %% [markdown]
# Which step of the patch is to blame for each? For D, step 15 is one; name the other. Write a number for each letter.

# %% tags=["stub"]
steps = {"A": ..., "B": ..., "C": ..., "D": ..., "E": ...}
check("11.1", steps)

# %% tags=["solution"]
steps = {"A": 13, "B": 7, "C": 9, "D": 16, "E": 5}
check("11.1", steps)

# %% [markdown] tags=["solution"]
# **Why.** A: who waits must look at what the wait returned. B: a file's pages are refused in step 12; nothing counts what moved, and step 7 claims it all. C: four attempts in a row meet the
# same page in swap. D: what nobody writes to must be cleared first, or a process reads what another one left. E: leaving the loop leaves the first part in VRAM, while the location says RAM.

# %% [markdown]
# ### 11.2 Lose a page
#
# "If a copy cannot be submitted, the CPU still finds all of its bytes, since step 22 takes every destination back." Write a program that refutes it: as posted, the CPU must not
# find all bytes, and with that step mended it must find them. `p.vram_layout("gpu0", [[first, pages], ...])` says which pages of VRAM are free. About 3 lines.


# %% tags=["stub"]
def lose(p, a):
    raise NotImplementedError


check("11.2", lose)


# %% tags=["solution"]
def lose(p, a):
    p.vram_layout("gpu0", [[16, 4], [32, 4]])
    p.inject("copy")
    move(p, a)


check("11.2", lose)

# %% [markdown] tags=["solution"]
# **Why.** VRAM comes in two pieces, so step 19 submits a copy at page i = 3. That fails. Step 22 takes back the pages *before* i, and page 3 has had its destination since step 18. Step 12
# moves it to VRAM into which nothing was copied. With one piece of VRAM the failing copy is that of step 20, behind the loop, where all pages are before i.

# %% [markdown]
# ### 11.3 Mend it
#
# Choose options for as few slots as possible, on top of the posting. Seven programs run on it: those of this notebook but C, and one like that of 11.2. In the end gpu0 and the CPU must find the right bytes, and
# a program whose move failed must be told an error. The table in *Explain* has the names.

# %% tags=["stub"]
mended = ...
check("11.3", mended)

# %% tags=["solution"]
mended = {
    "after_copy": "returned",
    "piece_place": "own-place",
    "copy_cleanup": "all",
    "fence_error": "returned",
    "record_location": "counted",
    "later_piece_fails": "come-home",
}
check("11.3", mended)

# %% [markdown] tags=["solution"]
# **Why.** One slot for each of A, B, E, the two mappings, 11.2, and the copy's result. D needs no slot of its own: once the error is returned, gpu0 maps RAM. That defect is still there, and another
# program would find it.

# %% [markdown]
# ## Key points
#
# * Three questions find most of it: who hears of a failure, is it one or several, what is true when it is left early (list in *The patch*).
# * A proof is a program, what it should find, and a run in which only the suspected decision is another (*Is it that step?*).
# * A returned 0 proves nothing: look at the bytes, as every reader sees them (output of `sl.show` in *Can it fail, and who hears of it?*).
# * What looks wrong may be sound; every order of a race is a better proof than a few moments (lists in *A suspicion that is wrong*).
# * A later kernel has mended much, and not all (list in *What later kernels do*).

# %% [markdown]
# ## From model to kernel
#
# | here | in the kernel |
# |---|---|
# | `to_vram`, steps 1 to 8 | `svm_migrate_ram_to_vram` (kfd_migrate.c) |
# | `migrate`, steps 9 to 15 | `svm_migrate_vma_to_vram` (kfd_migrate.c) |
# | `copy`, steps 16 to 22 | `svm_migrate_copy_to_vram` (kfd_migrate.c) |
# | step 9, 12 and 14 | `migrate_vma_setup` (migrate.c), `migrate_vma_pages` (migrate.c), `migrate_vma_finalize` (migrate.c) |
# | who calls it | `svm_range_trigger_migration` (kfd_svm.c) |
# | the worker that maps what the range says | `svm_range_restore_work` (kfd_svm.c) |
# | which addresses a GPU maps | `svm_range_map_to_gpu` (kfd_svm.c) |
#
# | | step | name | later kernels, as read |
# |---|---|---|---|
# | the copy's result is ignored | 15 | D1, D2 | keep it, from about 5.14 on |
# | parts over each other | 18 | D3 | a place for each part, since 2023 |
# | a hole ends the loop without an error | 3 | D4 | still so on this way; the location changes only if pages moved |
# | page i is forgotten | 22 | D6 | the newest one takes back all |
# | a file's pages are refused | 7 | D7 | count what really moved |
# | an earlier part stays | 5 | D8 | keep it, and count it |
# | four attempts without a cure | 9 | D12 | one attempt, and what can be collected moves |
# | fence errors | 13 | D14 | ignored |
# | VRAM as it is | 16 | D17 | cleared, since April 2021 |
# | old addresses of RAM are kept | after 14 | D26, X22 | freed with the move, since patch 34 |
#
# Here `as-posted` is patches 1 to 19, so there is a way home. D1 to D32 name what was found in patch 18, and X1 to X50 in all
# patches (some are the same); `svmlab behaviours` lists the slots with them.

# %% [markdown] tags=["stub"]
# ## Next
#
# Notebook 12, *Capstone*: place a workload on two hives. Answers with reasons are in
# [the version with solutions](solutions/11_reviewing_the_patch.ipynb).

# %% [markdown] tags=["solution"]
# ## Next
#
# Notebook 12, *Capstone*: place a workload on two hives. Work in
# [the version without solutions](../11_reviewing_the_patch.ipynb).
