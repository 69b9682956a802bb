# %% [markdown]
# # 09 Running out of VRAM
#
# **What happens when a GPU's memory is full?**
#
# About 35 minutes. It needs notebooks 00 to 04, 07 and 08; 05 and 06 help.

# %% [markdown]
# ## You will be able to
#
# * **tell** who has to leave VRAM, where its pages go, and whose queues stop for it,
# * **find** the size of VRAM below which a program thrashes, and say why it is a cliff or a slope,
# * **say** what becomes of a request that VRAM cannot serve.

# %% [markdown]
# ## Setup
#
# `filled` makes a buffer in RAM, full of the byte 7. `fetch` prefetches it to gpu0 and waits until all is quiet.

# %%
import svmlab as sl
from svmlab.course import check, compare, predict
from svmlab.widgets import PressureSweep


# %%
def filled(p, name, size="1 MiB"):
    buffer = p.mmap(size, name=name)
    buffer[:] = 7
    return buffer


def fetch(p, buffer):
    p.set_attr(buffer, access=["gpu0"], prefetch="gpu0")
    p.run()


# %% [markdown]
# ## Warm-up
#
# Two questions on earlier notebooks.
#
# 1. A migration has six steps. In which of them does the buffer get its VRAM? Give its number.
# 2. xnack is off, and a block comes home from VRAM of gpu0. Whose queues stop? `"none"`, `"those of gpu0"`, `"all of its process"` or
#    `"all of the machine"`.

# %% tags=["stub"]
step = ...
whose = ...
check("09.w1", step)
check("09.w2", whose)

# %% tags=["solution"]
step = 2
whose = "all of its process"
check("09.w1", step)
check("09.w2", whose)

# %% [markdown]
# ## Predict
#
# gpu0 has 4 MiB of VRAM. Page 0 of it is reserved, so there is room for three buffers of 1 MiB. You prefetch a, then b, then c. gpu0 reads all of a.
# Then you prefetch a fourth one, d.
#
# * `call`: what does the fourth prefetch return? `"success"` or `"an error"`.
# * `leaves`: which buffer has to leave VRAM? `"none"`, `"a"`, `"b"` or `"c"`.
#
# Another process, with xnack on: gpu0 goes through 8 blocks of 2 MiB, from the first to the last, and then once more. Its VRAM has room for 7 of them.
#
# * `second`: how many blocks have to be moved to gpu0 in the second pass? `"0"`, `"1"` or `"8"`.

# %% tags=["stub"]
mine = predict("09.p1", call=..., leaves=..., second=...)

# %% tags=["solution"]
mine = predict("09.p1", call="success", leaves="a", second="8")

# %% [markdown]
# ## Run
#
# ### One buffer too many
#
# Three buffers fill VRAM. The timeline begins with the prefetch of the fourth one.

# %%
p = sl.Process("toy", vram="4 MiB")
a, b, c, d = (filled(p, name) for name in "abcd")
for buffer in (a, b, c):
    fetch(p, buffer)
p.gpu(0).read(a)
since = len(p.log)
fetch(p, d)
sl.show(sl.timeline(p, since=since))

# %% [markdown]
# The call does not fail. Its step 2, a short one elsewhere, is the longest here, because there is another migration inside of it: 256 pages
# go from gpu0 to RAM, with five steps of their own. This is an *eviction* in the other sense of the word (notebook 07): pages are evicted from VRAM. (The
# memory manager of the kernel is called TTM; hence `ttm_eviction`.) Whose pages?

# %%
moved = p.log.events("migrate_start", since=since)[-1]
print(sl.why(moved))
sl.show(sl.vram_map(p, "gpu0"))
print(p.ranges())

# %% [markdown]
# a has left. Its bytes are in RAM, none is lost, and gpu0 maps them there, so its next kernel runs as before, only slower: each access goes over the bus. Read the
# line of a in the table: `prefetch` is gpu0 still, but `actual` is RAM. Attributes say what was asked for. Nobody tells the program that it is not so
# any more, and nothing brings a back until somebody asks again.
#
# ### Who has to go
#
# gpu0 had just used a. What would have saved it? In each run something happens to a before d comes:

# %%
cases = {
    "nothing": lambda p, a: None,
    "gpu0 reads a": lambda p, a: p.gpu(0).read(a),
    "a is prefetched again": fetch,
    "the CPU reads a, and it is prefetched again": lambda p, a: (p.cpu_read(a), fetch(p, a)),
}
for name, happens in cases.items():
    p = sl.Process("toy", vram="4 MiB")
    a, b, c, d = (filled(p, letter) for letter in "abcd")
    for buffer in (a, b, c):
        fetch(p, buffer)
    happens(p, a)
    fetch(p, d)
    print("in RAM:", *(x.name for x in (a, b, c, d) if p.ranges(x)[0].actual_loc == 0), "|", name)

# %% [markdown]
# The driver keeps a list of all buffers in a VRAM. A migration to VRAM puts a buffer at its end, and the first one of the list has to go. That gpu0 reads
# a buffer is not known to the driver: a GPU that finds an entry asks nobody. A prefetch of what is there moves nothing. Only in the last run
# did pages of a move, so b was first then.
#
# ### Somebody else's call
#
# VRAM belongs to the machine. This buffer fills it, and then *another* process fetches 1 MiB. The timeline is that of the first process, which
# does nothing at all:

# %%
p = sl.Process("toy", vram="4 MiB")
a = filled(p, "a", "3 MiB")
fetch(p, a)
other = p.spawn("other")
since = len(p.log)
fetch(other, filled(other, "b"))
sl.show(sl.timeline(p, since=since))

# %% [markdown]
# All of a goes, 3 MiB for 1 MiB: a buffer leaves as a whole, since VRAM is given and taken back for ranges. And all queues of its process stop for a
# millisecond, because pages of it moved. (With xnack on gpu0's entries would be removed instead, and its next touch of a would be a fault.)
#
# ### A working set that does not fit
#
# The *working set* is what a program uses again and again. Here it is 16 MiB, through which gpu0 goes three times, with xnack on. Each touch of a block that
# is not in VRAM is a fault that brings it. VRAM has room for all 8 blocks, or for 7:

# %%
for vram in ("18 MiB", "16 MiB"):
    p = sl.Process("toy", xnack=True, vram=vram)
    a = p.mmap("16 MiB", name="a", populate=True)
    for number in (1, 2, 3):
        since, begin = len(p.log), p.now
        p.gpu(0).touch(a)
        faults = p.log.count("page_fault_end", since=since)
        print(f"VRAM {vram}, pass {number}: {faults} faults, {(p.now - begin) / 1e6:.2f} ms")
sl.show(sl.counters(p, since=since))

# %% [markdown]
# With room for all, the second pass costs next to nothing. With room for all but one, it costs more than the first, and the third one costs as much again.
# The counters of that pass show why: 16 MiB come and 16 MiB go. When block 8 came in the first pass, block 1 had to go. Now gpu0 wants
# block 1, and block 2 has to go; then it wants block 2. This is *thrashing*: what is pushed out is always what is wanted next.
#
# ### The knee
#
# Three passes again, with more and less VRAM:


# %%
def three_passes(p, a):
    begin = p.now
    for _ in range(3):
        p.gpu(0).touch(a)
    return f"{(p.now - begin) / 1e6:>5.2f} ms"


# %%
for vram in range(4, 21, 2):
    p = sl.Process("toy", xnack=True, vram=f"{vram} MiB")
    a = p.mmap("16 MiB", name="a", populate=True)
    print(f"{vram:>2} MiB of VRAM: {three_passes(p, a)}")

# %% [markdown]
# And with nothing in VRAM: xnack is off, and gpu0 has access to RAM.

# %%
p = sl.Process("toy")
a = p.mmap("16 MiB", name="a", populate=True)
p.set_attr(a, access=["gpu0"])
print(three_passes(p, a))

# %% [markdown]
# From 18 MiB on nothing changes any more, and from 16 MiB down it hardly matters how much is missing. Between the two is the *knee*. A program that is
# on the wrong side of it by a single page takes five times as long. It would be better off with nothing in VRAM, and all
# accesses over the bus. On the right side three passes are too few to pay for the way there; a fourth and a fifth would cost 0.02 ms each, and 0.65 ms
# in RAM. (Times are those of the cost model; on a machine the factors are others.)
#
# ### What no eviction can mend
#
# A buffer of 6 MiB, and 4 MiB of VRAM. First a prefetch; then, with xnack on, a fault; at last a prefetch in a model of a later kernel.

# %%
p = sl.Process("toy", vram="4 MiB")
a = filled(p, "a", "6 MiB")
try:
    fetch(p, a)
except sl.DriverError as error:
    print(error)
p.run()
print(p.ranges(a))

# %%
p = sl.Process("toy", vram="4 MiB", xnack=True)
a = filled(p, "a", "6 MiB")
p.set_attr(a, access=["gpu0"])
p.advance("2 ms")
before = len(p.log)
p.gpu(0).touch(a.pages(0, 512))
for event in p.log.events("vram_alloc", "driver_fallback", "map_to_gpu", "page_fault_end", since=before):
    print(event)

# %%
p = sl.Process("toy", vram="4 MiB", behaviour="upstream")
a = filled(p, "a", "6 MiB")
fetch(p, a)
print(p.ranges(a))

# %% [markdown]
# * A range gets VRAM for all of its pages or none, so the prefetch fails. Every byte stays in RAM, mapped for gpu0.
# * A fault does not fail for want of VRAM. The driver *falls back*: it maps the block where it is.
# * A later kernel cuts a large range at registration, here into pieces of 2 MiB. One call moves them from the last to the first, and they push each other
#   out: of three, the first is left in VRAM, and the call succeeds.
#
# ### What you predicted

# %%
compare(mine)

# %% [markdown]
# ## Explain
#
# **A misconception:** "When VRAM is full, calls fail." A call fails only if VRAM would be too small with nobody else in it. Otherwise it succeeds, and
# somebody else pays: in *One buffer too many* it was a, in *Somebody else's call* a process that had done nothing.
#
# **A misconception:** "A little too little VRAM costs a little." It depends on the order in which memory is used. In *A working set that does not fit* one
# page was missing, and all of the gain was gone.
#
# **A misconception:** "What a GPU uses often stays in VRAM." The driver does not see use. It sees migrations: in *Who has to go*, a read saved nobody.
#

# %% [markdown]
# ## Explore
#
# gpu0 reads buffers of 1 MiB, each of them twice; a prefetch brings in what is not there. Choose the size of VRAM, how many buffers there are, and the order
# of the reads.

# %% tags=["nbval-ignore-output"]
sweep = PressureSweep()
sweep

# %% [markdown]
# 1. In order: how much moves with 6 MiB of VRAM, and how much with 7?
# 2. Set the order to *to and fro*. Why does every MiB of VRAM count now?
# 3. *Each twice at once* moves the least. What must be true of a program so that it can do that?

# %%
sweep.static()

# %% [markdown]
# ## Exercises
#
# Each has three hints; `sl.course.hint("09.1")` prints the first one. In all three, xnack is on, gpu0 reads one buffer after the other, and a fault
# brings the buffer to VRAM if it is not there. All buffers have one size; `room` is for how many of them VRAM has room.
#
# ### 09.1 Who leaves?
#
# Write a function that returns a list of the buffers that have to leave, in order. `reads` is a text with a letter for each read: `"abca"`. About 8 lines.


# %% tags=["stub"]
def leavers(room, reads):
    raise NotImplementedError


check("09.1", leavers)


# %% tags=["solution"]
def leavers(room, reads):
    inside, left = [], []
    for name in reads:
        if name not in inside:
            if len(inside) == room:
                left.append(inside.pop(0))
            inside.append(name)
    return left


check("09.1", leavers)

# %% [markdown] tags=["solution"]
# **Why.** Who is not inside comes in at the end of the list, and if there is no room, the first one goes. A read of who is inside changes nothing. A list by last
# *use* would be another one; the driver could keep it only if a GPU told it of each access.

# %% [markdown]
# ### 09.2 The way back
#
# gpu0 has read the buffers a to f in order. A second pass has to read each of them once more, in any order. With `"abcdef"` again, 12 buffers move to
# gpu0 in both passes together, whatever the room. Change that order, so that at most 7 move with room for 5, 8 with room for 4, and 9 with room for 3.

# %% tags=["stub"]
second = {5: ..., 4: ..., 3: ...}
check("09.2", second)

# %% tags=["solution"]
second = {5: "fedcba", 4: "fedcba", 3: "fedcba"}
check("09.2", second)

# %% [markdown] tags=["solution"]
# **Why.** After the first pass the last buffers are in VRAM. Going back reads them first, and they cost nothing. Those that are missing come last, and push out
# what is done. Any order that begins with what is there does it. Many algorithms can go through their data in either direction.

# %% [markdown]
# ### 09.3 More room, and yet more moves
#
# "With room for one more buffer, the same reads never move more." Show that this is false, with `(reads, room)`: at most 16 reads of the buffers a to
# f, and a room of 1 to 4. The check compares it with `room + 1`.

# %% tags=["stub"]
case = ...
check("09.3", case)

# %% tags=["solution"]
case = ("abcdabeabcde", 3)
check("09.3", case)

# %% [markdown] tags=["solution"]
# **Why.** 9 buffers move in with room for 3, and 10 with room for 4. With room for 4, the second a and b find their buffers there, so both keep their old
# place in the list, and e pushes out a just before it is wanted. This is known as Bélády's anomaly, of lists that are ordered by arrival. It is rare; that it exists says that
# the order of such a list is not the order of use.

# %% [markdown]
# ## Key points
#
# * A migration that finds VRAM full evicts others in its step 2; they go to RAM, and their attributes stay (timeline and table in *One buffer too many*).
# * Who moved in longest ago goes first, whole ranges at a time; use is not seen (output in *Who has to go*).
# * It may be another process's pages, and its queues stop (timeline in *Somebody else's call*).
# * Below the knee, a working set read in order moves again in each pass, which costs more than never to move it (outputs in *A working set that does not fit* and *The knee*).
# * Only a range larger than VRAM fails; a fault maps RAM instead (outputs in *What no eviction can mend*).

# %% [markdown]
# ## From model to kernel
#
# | here | in the kernel |
# |---|---|
# | a range gets VRAM | `svm_range_vram_node_new` (kfd_svm.c), which asks `amdgpu_vram_mgr_new` (amdgpu_vram_mgr.c) |
# | a buffer has to go | `svm_range_schedule_evict_svm_bo` (kfd_svm.c), called on behalf of TTM |
# | its pages come home, range by range | `svm_range_evict_svm_bo_worker` (kfd_svm.c), `svm_migrate_vram_to_ram` (kfd_migrate.c) |
# | the largest range of a later kernel | `svm_range_set_max_pages` (kfd_svm.c) |
# | a range must fit VRAM at all | `amdgpu_amdkfd_reserve_mem_limit` (amdgpu_amdkfd_gpuvm.c), in later kernels |
#
# As posted in March 2021, patches 1 to 19 evict nobody. A full VRAM is an error of step 2, whose result is dropped (D1): the call returns 0 and records the
# buffer as being in VRAM. The restore worker then asks for VRAM, each millisecond, for ever, with all queues stopped (D2). Patches 24 to 28 of the same series bring the eviction
# of single buffers.
#
# The kernel's list is TTM's, of what was used least recently. That a migration puts a buffer at its end could not be verified for this course
# (DEVIATIONS.md, V14). A study on such GPUs (Cooper, Scogland and Ge, 2024) found that the least recently *faulted* has to go, and three kinds of
# programs beyond the knee: some slow down in proportion, some fall to a lower level and stay there, some collapse.

# %% [markdown]
# ## From HIP to here
#
# | HIP | here |
# |---|---|
# | `hipMallocManaged` of more than VRAM | `mmap`: nothing is taken from VRAM before it is used |
# | `hipMemPrefetchAsync` to a GPU whose memory is full | `prefetch`: earlier buffers leave |
# | `hipMemAdvise`, advice PreferredLocation, the CPU | `preferred="cpu"`: what is used once stays in RAM and pushes nobody out |
#
# The HIP runtime was not examined for this table; take it as what the calls intend.

# %% [markdown] tags=["stub"]
# ## Next
#
# Notebook 10, *Unmap, split and stale faults*: what the driver does when memory goes away for good. Answers with reasons are in
# [the version with solutions](solutions/09_running_out_of_vram.ipynb).

# %% [markdown] tags=["solution"]
# ## Next
#
# Notebook 10, *Unmap, split and stale faults*: what the driver does when memory goes away for good. Work in
# [the version without solutions](../09_running_out_of_vram.ipynb).
