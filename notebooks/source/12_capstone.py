# %% [markdown]
# # 12 Capstone: place a workload
#
# **Where should each page of a program live, on two hives of four GPUs?**
#
# About 40 minutes, and longer for the last exercise. It needs notebooks 00 to 07.

# %% [markdown]
# ## You will be able to
#
# * **compute** what a placement carries over PCIe and for how long it stops the queues,
# * **cut** buffers so that each piece has one best place,
# * **write** a planner that keeps to a budget on workloads that you have never seen.

# %% [markdown]
# ## Setup
#
# A *workload* says what a program does; all of this notebook looks at `work`. A *plan* is a list of calls of `set_attr`, each with the name of a buffer, its
# first and last page, and the attributes; `whole` makes one for all of a buffer, with access for its users. `play` runs a workload on a plan.

# %%
import svmlab as sl
from svmlab.course import check, compare, predict
from svmlab.course.capstone import budget
from svmlab.course.placement import play
from svmlab.course.workload import workload
from svmlab.widgets import HiveExplorer

work = workload(3)


# %%
def users(work, name):
    return sorted({gpu for piece in work.pieces() if piece.buffer == name for gpu in piece.gpus})


def whole(work, name, **asked):
    return (name, 0, work.buffers[name] - 1, {"access": users(work, name)} | asked)


# %% [markdown]
# ## Warm-up
#
# Two questions on earlier notebooks.
#
# 1. On `mi210-two-hives`, with xnack off, gpu0 and gpu5 have access to a buffer. A call prefetches it to gpu1. Where is it then? `"RAM"`, `"gpu0"`, `"gpu1"`
#    or `"gpu5"`.
# 2. A range of 200 pages begins at the start of a block, and is in VRAM. The CPU reads one page of it. How many pages come home?

# %% tags=["stub"]
where = ...
home = ...
check("12.w1", where)
check("12.w2", home)

# %% tags=["solution"]
where = "RAM"
home = 200
check("12.w1", where)
check("12.w2", home)

# %% [markdown]
# ## Predict
#
# The machine is `mi210-two-hives`, with xnack off: gpu0 to gpu3 are one hive and gpu4 to gpu7 the other. Each GPU has 8 MiB of VRAM here, so that room is
# short. Nine buffers are in RAM.
#
# * `everybody`: all eight GPUs get access to all buffers, and each buffer is prefetched to the first GPU that uses it. How much moves? `"nothing"`, `"a part"` or
#   `"all of it"`.
# * `table`: a buffer of 16 MiB is prefetched to gpu3. `"what fits moves"`, `"all of it moves"` or `"the call fails"`.
# * `flags`: a buffer is prefetched to gpu3 once. Then there are six rounds, in each of which gpu3 writes it and the CPU reads it. How often does it come home?
#   `"never"`, `"once"` or `"in each round"`.

# %% tags=["stub"]
mine = predict("12.p1", everybody=..., table=..., flags=...)

# %% tags=["solution"]
mine = predict("12.p1", everybody="nothing", table="the call fails", flags="once")

# %% [markdown]
# ## Run
#
# ### The workload
#
# A workload is made from a number, its *seed*. This is the public one. Each line says which pages of a buffer are used, by whom, and in which rounds. In a
# round the GPUs come first, and the CPU last.

# %%
print(work)
print(budget(work))

# %% [markdown]
# The budget has two parts.
#
# * **Bytes over PCIe.** A migration carries each page once. A GPU that uses a page in RAM carries it too, and again each time that it does. What GPUs of one
#   hive read from each other goes over xGMI, which is not counted.
# * **Time that queues stand still.** Notebook 07: each change in the CPU's table stops all queues, and they run again a millisecond later or more.
#
# ### Nothing moves
#
# Each GPU gets access to the buffers that it uses. All stay in RAM.

# %%
print(play(work, [whole(work, name) for name in work.buffers]))

# %% [markdown]
# No queue ever stops, and the bytes are far above the budget: whatever a GPU uses, it uses over PCIe.
#
# ### Everybody may use everything
#
# The opposite: all eight GPUs get access, and each buffer is prefetched to the first GPU that uses it.

# %%
everybody = [gpu for hive in work.hives for gpu in hive]
plan = [whole(work, name, access=everybody, prefetch=users(work, name)[0]) for name in work.buffers]
score = play(work, plan)
print(score)

# %%
sl.show(sl.decision_path(score.process.why(score.buffers["weights"])))

# %% [markdown]
# The same bytes as before: each prefetch has become RAM, since an accessor is in the other hive. No call failed. A GPU that gets access to memory it never
# uses can cost all the others.
#
# ### Whole buffers
#
# So only users get access. The call for `table` fails, and the rest go on without it:

# %%
try:
    play(work, [whole(work, "table", prefetch="gpu3")])
except sl.SvmError as error:
    print(error)

# %%
plan = [whole(work, name, prefetch=users(work, name)[0]) for name in work.buffers if name != "table"]
score = play(work, [*plan, whole(work, "table")])
print(score)

# %%
print(score.process.ranges())

# %% [markdown]
# Better, and still twice the budget in bytes, with longer stops than it allows. The table of ranges shows the end of the last round:
#
# * `grid` is in RAM, because gpu2 and gpu6 use it. Yet most of its pages have one user.
# * `table` is in RAM, because it is too large. Yet gpu3 uses 192 of its 4096 pages.
# * `input` has moved, for a single use. That carried as many bytes as the use itself, and stopped the queues on top.
# * `state` has lost 512 pages, because the CPU looks at one of them.
# * `flags` has come home in the first round.
#
# ### Pieces
#
# The driver keeps attributes for ranges, and a range may be any run of pages. So cut each buffer where another set of users begins. `work.pieces()` does it:

# %%
for piece in work.pieces():
    reads = f"the CPU reads it, {piece.after} touches after" if piece.read_by_cpu else ""
    print(
        f"{piece.buffer:<8}{piece.first:>5} to {piece.last:>4}  {piece.touches:>2} touches by {' '.join(piece.gpus)}  {reads}"
    )

# %% [markdown]
# `touches` says how often GPUs touch each page of the piece, in all rounds together. `after` is how many of these touches come in rounds behind the one in which
# the CPU reads it first.
#
# ### One buffer at a time
#
# What is a move worth? Here are `result`, which the CPU reads at the very end, and `flags`, which it reads in each round; all other buffers stay in RAM.

# %%
for name in ("result", "flags"):
    others = [whole(work, other) for other in work.buffers if other != name]
    for asked in ({}, {"prefetch": users(work, name)[0]}):
        score = play(work, [*others, whole(work, name, **asked)])
        print(f"{name}, {asked or 'in RAM'}", score, sep="\n", end="\n\n")

# %% [markdown]
# `result` has 2.8 MiB. Moved, it goes there once and home once, instead of six times over PCIe. `flags` goes there and home too, but after the first round it is
# in RAM again, and five more uses of gpu3 cross PCIe. It costs more than before, in bytes and in time.
#
# ### A stop for the CPU
#
# The timeline of that run, from the first touch of the CPU on:

# %%
others = [whole(work, other) for other in work.buffers if other != "flags"]
score = play(work, [*others, whole(work, "flags", prefetch="gpu3")])
log = score.process.log
since, until = int(log.select("cpu_fault")[0]), int(log.select("queue_restore")[-1])
sl.show(sl.timeline(score.process, since=since, until=until + 1))

# %% [markdown]
# One touch of the CPU, one block home, and all eight GPUs stand still until the restore worker has mapped the pages in RAM. They stop one after the other,
# inside of step 1, and the 1 ms begins when the last one has stopped: so a stop costs nearly 2 ms here.
#
# ### What you predicted

# %%
compare(mine)

# %% [markdown]
# ## Explain
#
# **A misconception:** "A buffer has a place." A range has one, and you decide what a range is. In *Whole buffers* one page that the CPU looks at took 511 others
# home with it, and 64 pages that two hives share kept 1472 others in RAM.
#
# **A misconception:** "In VRAM is better." It is better for pages that the GPUs of one hive use more often than a move costs. Per page, with the numbers of a piece:
#
# | | pages over PCIe, for each page of the piece |
# |---|---|
# | it stays in RAM | `touches` |
# | it moves, and the CPU never reads it | 1 |
# | it moves, and the CPU reads it | 1 there, 1 home, and `after` |
#
# If users are in two hives there is no choice: it stays in RAM, whatever you ask for.
#
# Which GPU of the hive? Any: xGMI is free here. But VRAM is not. What happens when two pieces are more than gpu0 can hold? Pages 0 to 1215 of `big` are in its
# VRAM when `more` comes, with 1216 pages:

# %%
p = sl.Process("mi210-two-hives", vram="8 MiB", payload=False)
big = p.mmap("4864 KiB", name="big", populate=True)
more = p.mmap("4864 KiB", name="more", populate=True)
p.set_attr(big, access=["gpu0"], prefetch="gpu0")
p.set_attr(more, access=["gpu0"], prefetch="gpu0")
p.run()
print(p.ranges())
print("pages moved:", p.log.field("migrate_end", "npages").tolist())

# %% [markdown]
# `more` is in VRAM, and `big` was thrown out to RAM: that is the row *moved by a full VRAM* of a score. Three journeys, and from now on each use of `big` goes over
# PCIe. Notebook 09 is about it. gpu1 would have had room.

# %% [markdown]
# ## Explore
#
# The explorer of hives: choose who has access and where a prefetch goes, and see where the pages end, and why.

# %% tags=["nbval-ignore-output"]
explorer = HiveExplorer()
explorer

# %% [markdown]
# 1. Give access to gpu2 and gpu3, with prefetch to gpu0, which has none. Where are the pages, and who maps them?
# 2. Add one GPU of the other hive. Which rule fires, and what does the page map show then?
# 3. Turn xnack on, and keep the far GPU. Where are the pages now, and who cannot map them?

# %%
explorer.static()

# %% [markdown]
# ## Exercises
#
# Each has three hints; `sl.course.hint("12.1")` prints the first one.
#
# ### 12.1 The price of a piece
#
# Complete the function. It gets a piece whose users share a hive, and returns two numbers of pages that go over PCIe: if the piece stays in RAM, and if it is
# prefetched to one of its GPUs. The check runs each piece of the public workload both ways.


# %% tags=["stub"]
def price(piece):
    stays = piece.npages * piece.touches
    moves = ...
    return stays, moves


check("12.1", price)


# %% tags=["solution"]
def price(piece):
    stays = piece.npages * piece.touches
    moves = piece.npages * (2 + piece.after if piece.read_by_cpu else 1)
    return stays, moves


check("12.1", price)

# %% [markdown] tags=["solution"]
# **Why.** A move there is one crossing for each page. The CPU's first read takes the page home, which is another one, and no call brings it back: what GPUs touch
# from then on, they touch in RAM. For `flags` that makes 7 crossings instead of 6.

# %% [markdown]
# ### 12.2 It passed
#
# A colleague has written this planner. It uses your `price`, which is right, and it keeps to the budget of the public workload. With other seeds it does not. In
# which line is the mistake? Answer with the line and a seed that shows it, as in `(3, 17)`.


# %%
def colleague(work):  # line 1
    plan = []
    for piece in work.pieces():
        asked = {"access": piece.gpus}  # line 4
        stays, moves = price(piece)
        if moves < stays and any(set(piece.gpus) <= set(hive) for hive in work.hives):
            asked["prefetch"] = piece.gpus[0]  # line 7
        plan.append((piece.buffer, piece.first, piece.last, asked))
    return plan  # line 9


# %% tags=["stub"]
bug = ...
check("12.2", bug)

# %% tags=["solution"]
bug = (7, 0)
check("12.2", bug)

# %% tags=["solution"]
print(play(workload(0), colleague(workload(0))))

# %% [markdown] tags=["solution"]
# **Why.** The score says it: 4.8 MiB are moved by a full VRAM. The planner never asks how much room there is. It takes the first user, and two large pieces with the
# same first user may not fit. In the public workload, what comes to each GPU happens to fit. A test on one case tells about one case.

# %% [markdown]
# ### 12.3 Place it
#
# Write `place`. It gets a workload and returns a plan. The check runs the public workload and others that you do not see, and compares each score with its
# budget. `work.vram_pages` is how many pages a GPU has room for, and `work.hives` has the names of the GPUs. About 12 lines.


# %% tags=["stub"]
def place(work):
    raise NotImplementedError


check("12.3", place)


# %% tags=["solution"]
def place(work):
    plan, free = [], {gpu: work.vram_pages for hive in work.hives for gpu in hive}
    for piece in sorted(work.pieces(), key=lambda piece: -piece.npages):
        asked = {"access": piece.gpus}
        hives = [hive for hive in work.hives if set(piece.gpus) <= set(hive)]
        crossings = 2 + piece.after if piece.read_by_cpu else 1
        if hives and crossings < piece.touches:
            gpu = max(hives[0], key=free.get)
            free[gpu] -= piece.npages
            asked["prefetch"] = gpu
        plan.append((piece.buffer, piece.first, piece.last, asked))
    return plan


check("12.3", place)

# %% [markdown] tags=["solution"]
# **Why.** What moves is settled by the price and by the hives. Where it goes is a matter of room: large pieces first, each to the GPU of the hive with the most room
# left. The order of the calls changes the score by a few hundredths, since moves in a row share a stop.

# %% [markdown]
# ## Key points
#
# * Access given to a GPU that never uses a buffer can keep the buffer in RAM for all (decision path in *Everybody may use everything*).
# * Attributes belong to ranges: cut a buffer where its users change (list in *Pieces*, ranges in *Whole buffers*).
# * A move pays if one hive uses the pages more often than the way there and home costs (scores in *One buffer at a time*).
# * A page that the CPU reads again and again belongs in RAM (timeline in *A stop for the CPU*).
# * Too much in one VRAM throws out what was there (`p.ranges` in *Explain*).

# %% [markdown]
# ## From model to kernel
#
# | here | in the kernel |
# |---|---|
# | a call of a plan | `svm_range_set_attr` (kfd_svm.c) |
# | cutting ranges where attributes differ | `svm_range_add` (kfd_svm.c), `svm_range_split` (kfd_svm.c) |
# | an accessor in the other hive means RAM | `svm_range_best_location` (kfd_svm.c), later `svm_range_best_prefetch_location` (kfd_svm.c) |
# | the way there | `svm_migrate_ram_to_vram` (kfd_migrate.c) |
# | the CPU's touch, and the way home | `svm_migrate_to_ram` (kfd_migrate.c) |
# | the full VRAM | `svm_range_evict_svm_bo_worker` (kfd_svm.c) |
# | the stop | `svm_range_evict` (kfd_svm.c), `svm_range_restore_work` (kfd_svm.c) |
#
# As posted in March 2021, a full VRAM throws nothing out: a call for more than there is room for fails inside and returns 0, which is D1. Whether the same plan is
# the best on your machine depends on its links, which the cost model knows roughly, and on what it leaves out: bandwidth that GPUs share, and caches.
#
# ## From HIP to here
#
# | HIP | here |
# |---|---|
# | `hipMemPrefetchAsync` of a part of an allocation | a call of a plan with `prefetch` |
# | `hipMemAdvise` with `hipMemAdviseSetAccessedBy`, for each GPU that uses it | `access` of the users alone |
#
# The HIP runtime was not examined for this table.

# %% [markdown] tags=["stub"]
# ## Next
#
# Appendix A, *The real driver and a real log*: how to see such a run on a machine of your own. Answers with reasons are in
# [the version with solutions](solutions/12_capstone.ipynb).

# %% [markdown] tags=["solution"]
# ## Next
#
# Appendix A, *The real driver and a real log*: how to see such a run on a machine of your own. Work in
# [the version without solutions](../12_capstone.ipynb).
