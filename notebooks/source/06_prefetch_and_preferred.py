# %% [markdown]
# # 06 Prefetch, preferred, and their price
#
# **When does moving early pay?**
#
# About 40 minutes. It needs notebooks 00 to 05.

# %% [markdown]
# ## You will be able to
#
# * **tell** what a prefetch and a preferred location do, and when,
# * **compare** the cost of faults with the cost of one prefetch, and find the size at which they are equal,
# * **write** a schedule in which a GPU meets no fault.

# %% [markdown]
# ## Setup
#
# `prepared` makes a process on the machine `toy`, which has three GPUs, with a buffer in RAM whose attributes were set 2 ms ago (why so long ago, you see in
# *All of it, late*); it returns the process, the buffer and the length of the log. With xnack on, GPUs take page faults. `cost` takes such a buffer, which
# prefers gpu0, and returns how long it takes, in us, until gpu0 has touched its first pages: after a prefetch of the whole buffer, or without one.
#
# The times come from a cost model with assumed constants. Read proportions, not digits.

# %%
import svmlab as sl
from svmlab.course import check, compare, predict
from svmlab.widgets import EarlyOrLate


# %%
def prepared(npages=1024, *, xnack=True, **asked):
    p = sl.Process("toy", xnack=xnack)
    a = p.mmap(npages * 4096, name="a", populate=True)
    p.set_attr(a, **asked)
    p.advance("2 ms")
    return p, a, len(p.log)


def cost(npages, touched, *, granularity=9, prefetch=False):
    p, a, _ = prepared(npages, preferred="gpu0", granularity=granularity)
    begin = p.now
    if prefetch:
        p.set_attr(a, prefetch="gpu0")
    p.gpu(0).touch(a.pages(0, touched))
    return (p.now - begin) / 1000


# %% [markdown]
# ## Warm-up
#
# Two questions on earlier notebooks.
#
# 1. A buffer of 1024 pages is in VRAM, with the default granularity. The CPU touches one page. How many pages come home?
# 2. VRAM has one free piece, and 1300 pages are copied into it. How many windows does the copy engine take for them?

# %% tags=["stub"]
home = ...
windows = ...
check("06.w1", home)
check("06.w2", windows)

# %% tags=["solution"]
home = 512
windows = 3
check("06.w1", home)
check("06.w2", windows)

# %% [markdown]
# ## Predict
#
# A buffer of 1024 pages is in RAM, with the default granularity of 9: blocks of 2 MiB. xnack is on.
#
# * `call`: a call sets `preferred="gpu0"`. How many pages does that call move? `"0"`, `"512"` or `"1024"`.
# * `touch`: then gpu0 touches one page. How many pages move? `"1"`, `"512"` or `"1024"`.
# * `faults`: another buffer of this kind is prefetched to gpu0 instead; then gpu0 touches all of it. How many GPU faults are served? `"0"`, `"1"` or `"2"`.
#
# Now xnack is off.
#
# * `stopped`: a buffer is prefetched to gpu0. How long do the queues stand still? `"not at all"`, `"during the copy alone"` or `"1 ms or longer"`.

# %% tags=["stub"]
mine = predict("06.p1", call=..., touch=..., faults=..., stopped=...)

# %% tags=["solution"]
mine = predict("06.p1", call="0", touch="512", faults="0", stopped="1 ms or longer")

# %% [markdown]
# ## Run
#
# ### Two attributes
#
# Two buffers of 4 MiB are in RAM; the queues run. `a` is prefetched to gpu0, `b` prefers gpu0.

# %%
p = sl.Process("toy", xnack=True)
a = p.mmap("4 MiB", name="a", populate=True)
b = p.mmap("4 MiB", name="b", populate=True)
before = len(p.log)
p.set_attr(a, prefetch="gpu0")
p.set_attr(b, preferred="gpu0")
sl.show(sl.timeline(p, since=before))
print(p.ranges())

# %% [markdown]
# The first call moves 1024 pages and maps them for gpu0 before it returns. The second call writes a note into the range: column `preferred` has it, and
# `actual` stays `cpu`, which is RAM. No queue stops, although the CPU's table changed: with xnack on a GPU that misses a page takes a fault, so nobody has to stop it.
#
# The note is read when gpu0 faults. Let it touch one page of each buffer, 2 ms later:

# %%
p.advance("2 ms")
before = len(p.log)
p.gpu(0).touch(a.pages(0))
p.gpu(0).touch(b.pages(0))
sl.show(sl.timeline(p, since=before))
print(*p.log.events("decision")[-1:], p.ranges(), sep="\n")

# %% [markdown]
# The touch of `a` finds its page. The touch of `b` is a GPU fault, and the fault asks where the range shall live. It moves one *block*: the
# 2^granularity pages around the touched one, here 512. Column `VRAM` counts them. The other 512 pages of `b` stay in
# RAM until gpu0 touches one.
#
# ### A prefetch is remembered
#
# A buffer is prefetched, and the CPU touches a page: a block comes home. Then comes a call that asks for no location at all; it makes
# the blocks smaller.

# %%
p, a, _ = prepared(prefetch="gpu0")
p.cpu_touch(a.pages(0))
print(p.ranges(a))
before = len(p.log)
p.set_attr(a, granularity=8)
sl.show(sl.timeline(p, since=before))

# %% [markdown]
# 512 pages move, because the range still has its prefetch location, and each call that changes a range follows it again. Nothing ever clears it; only another
# prefetch replaces it.
#
# ### All of it, late
#
# Now the price. gpu0 touches all 1024 pages of a buffer that prefers gpu0.

# %%
p, a, before = prepared(preferred="gpu0")
p.gpu(0).touch(a)
sl.show(sl.timeline(p, since=before))
sl.show(sl.counters(p, since=before))

# %% [markdown]
# Two blocks, two faults. But the touch lasts far longer than the two faults together. The driver drops a fault on a range that was mapped less than 2 ms ago: it
# takes it for an old report of the fault that it has just served. It does not look at the page. So the first fault on the second block is
# dropped, and the GPU tries again and again until 2 ms are over.
#
# ### All of it, early
#
# The same buffer and the same touch, after a prefetch:

# %%
p, a, before = prepared(preferred="gpu0")
p.set_attr(a, prefetch="gpu0")
p.gpu(0).touch(a)
sl.show(sl.timeline(p, since=before))

# %%
sl.show(sl.counters(p, since=before))

# %% [markdown]
# The same 4 MiB, in one migration, and not one fault. Nobody waits for the 2 ms: a call is never dropped.
#
# ### With xnack off
#
# GPUs take no faults now. gpu0 needs access, and its pages are mapped ahead.

# %%
p, a, before = prepared(xnack=False, access=["gpu0"], preferred="gpu0")
p.gpu(0).touch(a)
print(p.ranges(a))
p.set_attr(a, prefetch="gpu0")
p.run()
sl.show(sl.timeline(p, since=before))

# %% [markdown]
# gpu0 touched every page, and the table says that they stayed in RAM: no fault comes, so nobody reads the preference. The prefetch moves the same bytes as before. But while the pages
# move, running queues would use stale entries, so all GPUs of the process stop. The *restore worker* lets them run
# again, and it waits for 1 ms first. The copy ends long before that.
#
# ### What you predicted

# %%
compare(mine)

# %% [markdown]
# ## Explain
#
# ### What one fault costs
#
# gpu0 touches all pages of smaller and larger buffers. *Late* means by its faults, *early* by a prefetch before. A block has 512 pages.

# %%
for npages in (1, 16, 128, 256, 512, 1024, 2048, 4096):
    late, early = cost(npages, npages), cost(npages, npages, prefetch=True)
    print(f"{npages:>4} pages: late {late:7.1f} us, early {early:6.1f} us, difference {late - early:7.1f} us")

# %% [markdown]
# The first five lines are one block. Whoever moves pages pays a fixed part, about 80 us, and each page costs about 0.5 us on top. A fault costs about 16 us
# more than a call, however many pages it moves. So within one block the two differ little.
#
# From the second block on, the wait of 2 ms outweighs all of that: 4096 pages are 8 blocks, and late takes 7 times as long.
#
# ### When late wins
#
# So far gpu0 needed every page. What if it touches one page only, and nobody knows before which one? A prefetch must move the whole buffer. A fault moves a
# block of 1, 16 or 512 pages.

# %%
print("pages  early, us  late, us: blocks of 1  of 16  of 512 pages")
for npages in (16, 64, 256, 1024, 4096):
    late = [cost(npages, 1, granularity=granularity) for granularity in (0, 4, 9)]
    print(f"{npages:>5} {cost(npages, 1, prefetch=True):>10.1f} {late[0]:>21.1f} {late[1]:>6.1f} {late[2]:>7.1f}")

# %% [markdown]
# The cost of late stops growing at the size of a block; the cost of early grows with the buffer. Call the block B pages, the buffer N pages. The fixed part
# is the same, so both cost the same where
#
# 0.5 us x N = 0.5 us x B + 16 us,
#
# that is where N is some 30 or 40 pages more than B. This N is the *break-even* size: below it, prefetch; above it, let the one fault come. Look at the table: with
# blocks of 1 page it lies between 16 and 64 pages, with blocks of 512 pages between 256 and 1024.
#
# ### Used once, or often
#
# With xnack off there is a third way: move nothing. gpu0 has access, so it can work on the pages in RAM, over the bus. Here gpu0 reads a buffer of 4 MiB several
# times:

# %%
for times in (1, 4, 8, 16):
    took = {}
    for way, asked in (("in RAM", {}), ("moved first", {"prefetch": "gpu0"})):
        p, a, _ = prepared(xnack=False, access=["gpu0"])
        begin = p.now
        p.set_attr(a, **asked)
        for _ in range(times):
            p.gpu(0).touch(a)
        took[way] = (p.now - begin) / 1000
    print(f"read {times:>2} x:", ", ".join(f"{way} {us:6.1f} us" for way, us in took.items()))

# %% [markdown]
# In RAM every pass pays the bus again, 160 us for 4 MiB. Moving pays the copy and the stopped queues, about 1.1 ms, once; after that a pass takes 5 us. So this buffer
# is worth a move from the seventh pass on.
#
# **A misconception:** "Prefetch and preferred are two words for one thing." A prefetch moves pages in the call, in either xnack mode, and is followed again in later
# calls. A preference moves nothing by itself; a GPU fault reads it, so it needs xnack on.
#
# **A misconception:** "Prefetching is always faster." It is faster for pages that will be used. For a small part of a large buffer, a fault moves less. And with
# xnack off, each prefetch that moves pages stops all queues for 1 ms or longer, so prefetch before the work starts, and much at once.

# %% [markdown]
# ## Explore
#
# The lab runs both ways for one buffer. Choose its size, how much of it gpu0 touches, and the granularity.

# %% tags=["nbval-ignore-output"]
lab = EarlyOrLate()
lab

# %% [markdown]
# 1. 4 MiB, all of it touched: which granularity brings late down to one fault, and which way is faster then?
# 2. Half of 4 MiB is touched, with granularity 9: which way is faster? And with granularity 8?
# 3. One page is touched: does the time by prefetch depend on the granularity, and the time by faults on the size?

# %%
lab.static()

# %% [markdown]
# ## Exercises
#
# Each has three hints; `sl.course.hint("06.1")` prints the first one.
#
# ### 06.1 Moved, and faulted
#
# A buffer of 1024 pages is in RAM of `toy`; gpu0 to gpu2 are its GPUs. After the calls, 2 ms pass. Then gpu0 touches all pages. For each line
# complete two numbers: the pages that the calls move, and the GPU faults that are served.
#
# | | xnack | the calls set |
# |---|---|---|
# | A | on | preferred gpu0 |
# | B | on | prefetch gpu0 |
# | C | on | preferred gpu0, granularity 8 |
# | D | off | access for gpu0, preferred gpu0 |
# | E | off | access for gpu0, prefetch gpu0 |
# | F | on | prefetch gpu0; in a second call, preferred cpu |
# | G | on | preferred gpu0; in a second call, prefetch cpu |

# %% tags=["stub"]
table = {
    "A": (0, 2),
    "B": (1024, ...),
    "C": (..., ...),
    "D": (..., ...),
    "E": (..., ...),
    "F": (..., ...),
    "G": (..., ...),
}
check("06.1", table)

# %% tags=["solution"]
table = {
    "A": (0, 2),
    "B": (1024, 0),
    "C": (0, 4),
    "D": (0, 0),
    "E": (1024, 0),
    "F": (1024, 0),
    "G": (0, 2),
}
check("06.1", table)

# %% [markdown] tags=["solution"]
# **Why.** C: smaller blocks, more faults. D: gpu0 reads RAM, mapped ahead, and the preference is never read. F: the pages are there and mapped, so no fault
# comes, and the preference for the CPU is never read either. G: a prefetch to where the pages are moves none; the faults read the preference, not the prefetch.

# %% [markdown]
# ### 06.2 A schedule without faults
#
# Two buffers are in RAM. gpu0 reads all of `a`, gpu0 writes the byte 1 all over `b`, and the CPU reads `b`. This schedule does it with xnack on, and meets GPU
# faults:
#
#     def plan(p, a, b):
#         p.set_attr(a, preferred="gpu0")
#         p.set_attr(b, preferred="gpu0")
#         p.gpu(0).read(a)
#         p.gpu(0).write(b, 1)
#         p.cpu_read(b)
#
# In the end `a` is in VRAM of gpu0 and `b` in RAM. Write a `plan` that does the same work, ends with the same places, and meets no GPU fault. It must work with
# xnack on and off. The check runs it on several machines.


# %% tags=["stub"]
def plan(p, a, b):
    raise NotImplementedError


check("06.2", plan)


# %% tags=["solution"]
def plan(p, a, b):
    for buffer in (a, b):
        p.set_attr(buffer, access=["gpu0"], prefetch="gpu0")
    p.gpu(0).read(a)
    p.gpu(0).write(b, 1)
    p.cpu_read(b)


check("06.2", plan)

# %% [markdown] tags=["solution"]
# **Why.** A prefetch has moved and mapped the pages when it returns with xnack on. With xnack off they are mapped once the restore worker is done; the queues
# stand still until then, so gpu0 cannot come too early. `b` could also stay in RAM, with `access_in_place=["gpu0"]`: gpu0 then writes to it over the bus, and nothing moves.

# %% [markdown]
# ### 06.3 Where it breaks even
#
# "A prefetch is never slower than a fault." Find the smallest counter-examples: gpu0 touches the first page of a buffer, as in *When late wins*. From how many
# pages on does the prefetch of the whole buffer take longer than the fault? Give one size for each granularity: 0, 4 and 9. Estimate first, then measure with `cost`.

# %% tags=["stub"]
sizes = {0: ..., 4: ..., 9: ...}
check("06.3", sizes)


# %% tags=["solution"]
def smallest(granularity):
    npages = 1
    while cost(npages, 1, prefetch=True) <= cost(npages, 1, granularity=granularity):
        npages += 1 if npages >= 2**granularity else 2**granularity - npages
    return npages


sizes = {granularity: smallest(granularity) for granularity in (0, 4, 9)}
check("06.3", sizes)

# %% [markdown] tags=["solution"]
# **Why.** Below the size of a block both move the same pages, and the fault costs more. Above it, early pays for pages that late leaves
# alone; some 36 of them cost as much as the fault does on top. With granularity 9 fewer are enough: page 513 needs a second window, and a window has a price of its own.

# %% [markdown]
# ## Key points
#
# * A prefetch moves in the call, in either xnack mode; a preference is read by a GPU fault (two timelines in *Two attributes*).
# * A prefetch is remembered: a later call that changes the range moves its pages again (timeline in *A prefetch is remembered*).
# * Late costs one fault for each block, and 2 ms between two blocks of a range (counters in *All of it, late*).
# * With xnack off, a prefetch stops all queues for 1 ms or longer, so it pays for pages that are used often (list in *Used once, or often*).
# * For one touched page, early loses as soon as the buffer is some 30 to 40 pages larger than a block (list in *When late wins*).

# %% [markdown]
# ## From model to kernel
#
# | here | in the kernel |
# |---|---|
# | the two attributes | `KFD_IOCTL_SVM_ATTR_PREFETCH_LOC` (kfd_ioctl.h), `KFD_IOCTL_SVM_ATTR_PREFERRED_LOC` (kfd_ioctl.h) |
# | a call moves what it prefetches | `svm_range_set_attr` (kfd_svm.c), `svm_range_trigger_migration` (kfd_svm.c) |
# | a GPU fault reads the preference | `svm_range_restore_pages` (kfd_svm.c), `svm_range_best_restore_location` (kfd_svm.c) |
# | a fault within 2 ms is dropped | `AMDGPU_SVM_RANGE_RETRY_FAULT_PENDING` (kfd_svm.c) |
# | the restore delay of 1 ms | `AMDGPU_SVM_RANGE_RESTORE_DELAY_MS` (kfd_svm.c) |
#
# That the prefetch location is remembered is defect D23: a range can move in a call about something else. Later kernels do the same. What a fault
# moves has changed: kernels of about 5.14 move the whole range, later ones a block, as you saw.

# %% [markdown]
# ## From HIP to here
#
# | HIP | here |
# |---|---|
# | `hipMemPrefetchAsync` to a GPU | `prefetch="gpu0"` |
# | `hipMemAdvise`, advice PreferredLocation | `preferred="gpu0"` |
#
# The HIP runtime was not examined for this table; take it as what the calls intend.

# %% [markdown] tags=["stub"]
# ## Next
#
# Notebook 07, *Stop, move, resume*: what happens to the queues while pages move. Answers with reasons are in
# [the version with solutions](solutions/06_prefetch_and_preferred.ipynb).

# %% [markdown] tags=["solution"]
# ## Next
#
# Notebook 07, *Stop, move, resume*: what happens to the queues while pages move. Work in
# [the version without solutions](../06_prefetch_and_preferred.ipynb).
