# %% [markdown]
# # 05 Coming back
#
# **What does one CPU touch bring home?**
#
# About 35 minutes. It needs notebooks 00 to 04.

# %% [markdown]
# ## You will be able to
#
# * **compute** the block that a CPU fault brings home,
# * **say** what the driver believes about a buffer of which a part has come home,
# * **recognise** ping-pong in a timeline and in counters, and end it.

# %% [markdown]
# ## Setup
#
# `in_vram` makes a buffer `a` full of the byte 7 and prefetches it to gpu0.

# %%
import svmlab as sl
from svmlab.course import check, compare, predict
from svmlab.widgets import PingPong


def in_vram(p, size="8 MiB", *, at=None, **asked):
    a = p.mmap(size, name="a", at=at)
    a[:] = 7
    p.set_attr(a, access=["gpu0"], prefetch="gpu0", **asked)
    p.run()
    return a


# %% [markdown]
# ## Warm-up
#
# Two questions on earlier notebooks.
#
# 1. A block has 512 pages. At which page does the block begin that holds page 1300?
# 2. The pages 0 to 15 are one range. A call sets another granularity for the pages 4 to 7. How many ranges are there then?

# %% tags=["stub"]
first = ...
ranges = ...
check("05.w1", first)
check("05.w2", ranges)

# %% tags=["solution"]
first = 1024
ranges = 3
check("05.w1", first)
check("05.w2", ranges)

# %% [markdown]
# ## Predict
#
# A buffer of 8 MiB, 2048 pages, is in VRAM of gpu0. It is one range; xnack is off. The CPU reads one byte of page 700.
#
# * `home`: how many pages come home? `"1"`, `"512"` or `"2048"`.
# * `ranges`: how many ranges does the buffer have then? `"one"`, `"two"` or `"three"`.
# * `then`: now gpu0 reads page 700. What happens to the page? `"it stays in RAM"` or `"it goes back to VRAM"`.

# %% tags=["stub"]
mine = predict("05.p1", home=..., ranges=..., then=...)

# %% tags=["solution"]
mine = predict("05.p1", home="512", ranges="three", then="it stays in RAM")

# %% [markdown]
# ## Run
#
# ### One byte
#
# The snapshots record where the pages are before the read, when the read is back, and when all is quiet.

# %%
p = sl.Process("mi210-two-hives", vram="64 MiB")
a = in_vram(p)
since, strip = len(p.log), sl.range_strip(p, a)
moments = [sl.snapshot(p, a, "before")]
print("the CPU reads", p.cpu_read(a.pages(700))[0])
moments.append(sl.snapshot(p, a, "read is back"))
p.run()
moments.append(sl.snapshot(p, a, "all is quiet"))
sl.show(sl.pagemap_over_time(moments))

# %% [markdown]
# The CPU's entry for page 700 is a device page, so the touch is a CPU fault, and the driver brings the page home with 511 others: the pages 512 to
# 1023. When the read is back, gpu0's table is still the old one. The timeline shows why that does no harm:

# %%
sl.show(sl.timeline(p, since=since))

# %% [markdown]
# Taking the pages out of VRAM calls the notifier, as on the way there. With xnack off it stops all queues; a millisecond later the restore worker
# maps the pages in RAM for gpu0. One byte for the CPU costs all GPUs that pause.
#
# Does the page return to VRAM if gpu0 uses it again? And what became of the range?

# %%
p.gpu_read("gpu0", a.pages(700))
p.run()
print("migrations, that of the CPU's read included:", p.log.count("migrate_end", since=since))
sl.show(sl.range_strip(p, a, before=strip, call="one CPU read"))

# %% [markdown]
# It does not: one migration, and that was the CPU's. gpu0 has an entry, and reads RAM over the bus. What has come home stays there until somebody asks for it.
#
# The driver keeps one `actual` location for each range. So it cuts the block out: that range is in RAM, and its two neighbours are still in VRAM. No
# call changed an attribute, and yet there are three ranges.
#
# ### Where a block begins
#
# 512 is 2^9, and 9 is the default *granularity*. Blocks are counted from page number 0 of the address space, not from the start of the buffer. This
# buffer begins 80 pages behind the start of a block, and its pages 600 to 699 are a range of their own:

# %%
p = sl.Process("mi210-two-hives", vram="64 MiB")
a = in_vram(p, "4400 KiB", at="0x7e0000250000")
p.set_attr(a.pages(600, 100), preferred="gpu0")
print("page 0 is page", a.pages(0).start % 512, "of its block")
for page in (0, 650, 1000):
    p.cpu_read(a.pages(page))
p.run()
print("pages that came home:", p.log.field("migrate_end", "npages").tolist()[1:])
print(p.ranges(a))

# %% [markdown]
# * Page 0: the block has 512 pages, 80 of them before the buffer. The other 432 come home.
# * Page 650: the block goes from 432 to 943, but the range from 600 to 699. The block is *clipped* to the range, and 100 pages come home.
# * Page 1000: the block begins at 944 and is clipped to the last page, 1099.
#
# ### Granularity
#
# The CPU reads 48 pages of VRAM one after the other, from the start of a block on. How large shall a block be?

# %%
for granularity in (0, 4, 9, 11):
    p = sl.Process("mi210-two-hives", vram="64 MiB")
    a = in_vram(p, granularity=granularity)
    begin = p.now
    p.cpu_read(a.pages(0, 48))
    waited = (p.now - begin) / 1000
    there, *home = p.log.field("migrate_end", "npages").tolist()
    print(
        f"{granularity:>2}: prefetch {there} pages; CPU faults {len(home):>2}, pages home {sum(home):>4}, {waited:>6.1f} us"
    )

# %% [markdown]
# A small block moves only what is asked for, and takes a fault for each page. A large one takes a single fault, and moves 2000 pages that nobody reads. The
# best of these four lies in between. The first number never changes: a prefetch moves all it is asked to, whatever the granularity.
#
# ### When `actual` becomes RAM
#
# The CPU touches three of the four blocks. The first run is the usual model, `as-intended`; the second is `upstream`, that of a later kernel, which cuts
# nothing. (It has more VRAM, since such kernels cut large ranges by the size of VRAM.)

# %%
for behaviour, vram in (("as-intended", "64 MiB"), ("upstream", "256 MiB")):
    p = sl.Process("mi210-two-hives", vram=vram, behaviour=behaviour)
    a = in_vram(p)
    for page in (700, 10, 1300):
        p.cpu_read(a.pages(page))
    p.run()
    print(p.ranges(a))

# %% [markdown]
# Here, each block that was touched is a range of its own, and `actual` says of each range where all of it is. In the later kernel the range stays whole and
# is partly in VRAM; it counts its pages there, 512 in the column `VRAM`, and `actual` is still gpu0. Now the CPU touches the last block of this range:

# %%
p.cpu_read(a.pages(1600))
p.run()
print(p.ranges(a))

# %% [markdown]
# `actual` becomes RAM when no page is left in VRAM, and not before. So both kinds follow one rule: a range whose `actual` is RAM has no page in VRAM.
#
# ### Ping-pong
#
# A buffer of 2 MiB is in RAM. A program prefetches it to gpu0, lets gpu0 write it, and reads one byte of the result; then all of it again.

# %%
p = sl.Process("mi210-two-hives", vram="64 MiB")
a = p.mmap("2 MiB", name="a")
p.set_attr(a, access=["gpu0"])
since, begin = len(p.log), p.now
for turn in range(2):
    p.set_attr(a, prefetch="gpu0")
    p.gpu_write("gpu0", a, turn)
    print("the CPU reads", a[0])
print((p.now - begin) / 1000, "us")
p.run()
sl.show(sl.timeline(p, since=since))
sl.show(sl.counters(p, since=since))

# %% [markdown]
# This is *ping-pong*: the same pages go to and fro. In the timeline you recognise it by migrations that take turns with work, and in the counters by as
# many bytes one way as the other. Two bytes were read, and 8 MiB moved. Nearly half of the time gpu0's work waits for
# its queues: a bar "writes" begins when the program asks for it, and the bytes are written at its end. The rest is moving.
#
# To end it, leave the pages in one place. gpu0 has access, and can work in RAM, in place:

# %%
p = sl.Process("mi210-two-hives", vram="64 MiB")
a = p.mmap("2 MiB", name="a")
p.set_attr(a, access=["gpu0"], prefetch="cpu")
begin = p.now
for turn in range(2):
    p.gpu_write("gpu0", a, turn)
    print("the CPU reads", a[0])
print((p.now - begin) / 1000, "us; pages moved:", p.log.field("migrate_end", "npages").tolist())

# %% [markdown]
# Nothing moves and no queue stops. What gpu0 writes goes over the bus, each time: nearly all of the 150 us are the bus, where the same writes to VRAM take
# 5 us. Data that a GPU uses often is worth a move: notebook 06 counts how often.
#
# ### What you predicted

# %%
compare(mine)

# %% [markdown]
# ## Explain
#
# **A misconception:** "One CPU read brings the whole buffer home." It brings one block: 2^granularity pages that begin at a multiple of that number,
# clipped to the range. A buffer of 8 MiB needs four touches to come home, and any of them may never come. Nor is it ever the byte alone: with
# granularity 0 it is still a page.
#
# **A misconception:** "Access in place keeps pages in VRAM." Access of either kind is about a GPU. The CPU's touch is a fault all the same, and the block
# comes home:

# %%
for asked in ({"access": ["gpu0"]}, {"access_in_place": ["gpu0"]}, {"access": ["gpu0"], "preferred": "gpu0"}):
    p = sl.Process("mi210-two-hives", vram="64 MiB")
    a = p.mmap("4 MiB", name="a")
    p.set_attr(a, prefetch="gpu0", **asked)
    p.cpu_read(a.pages(0))
    print(p.log.field("migrate_end", "npages").tolist(), asked)

# %% [markdown]
# The second number is what one CPU read brought home. So the cure for ping-pong is at the other end: whatever takes the pages to VRAM again. In *Run* that
# was a prefetch. With xnack on it may be a fault of the GPU, by the rules of notebook 03: a GPU with ACCESS takes the block of the page into its own VRAM,
# and one with ACCESS_IN_PLACE uses RAM where it is.

# %% [markdown]
# ## Explore
#
# gpu0 and the CPU write the first pages of a buffer of 4 MiB, in five turns. Choose the granularity, how many pages they write, and what
# brings the pages to gpu0.

# %% tags=["nbval-ignore-output"]
game = PingPong()
game

# %% [markdown]
# 1. gpu0 by its own faults, 1 page: which granularity moves one byte for each byte touched, and how much shorter is a turn of the CPU?
# 2. Set 8 pages, and the granularity to 0, then to 3. The same bytes move; what else changes in a turn of the CPU?
# 3. By a prefetch each turn, granularity 0: which turn moves nearly all the bytes, and why did the granularity not help there?
#
# One row of the table below stands out: at granularity 0, gpu0 needs 16 ms for 8 pages. The driver drops faults on a range that it mapped less than 2 ms ago;
# notebook 06 shows such a wait, and says why.

# %%
game.static()

# %% [markdown]
# ## Exercises
#
# Each has three hints; `sl.course.hint("05.1")` prints the first one.
#
# ### 05.1 The block
#
# Complete the function: it returns the first and the last page that a CPU fault on `page` brings home. `start` and `last` are the first and last page of
# the range.


# %% tags=["stub"]
def block(page, start, last, granularity):
    size = 2**granularity
    first = page // size * size
    last_of_block = ...
    return first, last_of_block


check("05.1", block)


# %% tags=["solution"]
def block(page, start, last, granularity):
    size = 2**granularity
    first = max(page // size * size, start)
    last_of_block = min(page // size * size + size - 1, last)
    return first, last_of_block


check("05.1", block)

# %% [markdown] tags=["solution"]
# **Why.** The block is found from the page's number alone; the range only clips it. With a granularity so large that the block begins before the
# range and ends behind it, all of the range comes home.

# %% [markdown]
# ### 05.2 End the ping-pong
#
# xnack is on, and the program sets attributes once. Then, ten times, gpu0 writes all of the buffer and the CPU reads all of it. With
# `{"access": ["gpu0"]}` the buffer moves twenty times. Change or add one attribute, so that at most a tenth of the pages move. There is more than one way.

# %% tags=["stub"]
attributes = ...
check("05.2", attributes)

# %% tags=["solution"]
attributes = {"access": ["gpu0"], "preferred": "cpu"}
check("05.2", attributes)

# %% [markdown] tags=["solution"]
# **Why.** A fault of gpu0 looks at the preferred location first; RAM means that gpu0 maps the pages where they are. `access_in_place` for gpu0 does the same
# for pages in RAM. A small granularity does not help here: both touch all pages, so all of them move, with a fault for each.

# %% [markdown]
# ### 05.3 Fewer pages, and yet later
#
# "Of two granularities, the one that moves fewer pages makes the CPU wait less." A buffer of 4 MiB is in VRAM, and the CPU reads its first pages, one
# after the other. Show that the claim is false with `(pages, granularity, another granularity)`: at most 8 pages, granularities from 0 to 10.

# %% tags=["stub"]
case = ...
check("05.3", case)

# %% tags=["solution"]
case = (5, 0, 3)
check("05.3", case)

# %% [markdown] tags=["solution"]
# **Why.** 5 pages move instead of 8, but with five faults instead of one. A fault has a price of some 40 us, whatever it moves; the pages add less than
# 1 us each. A block that is too large loses again: at 512 pages the pages outweigh eight faults.

# %% [markdown]
# ## Key points
#
# * One touch brings home one block: 2^granularity pages, aligned on page numbers, clipped to the range (list in *Where a block begins*).
# * Here the block is cut out of its range; later kernels leave the range whole, and its `actual` becomes RAM with the last page
#   (outputs in *When actual becomes RAM*).
# * What is home stays home until somebody asks for it; with xnack off each fault stops the queues (timeline in *One byte*).
# * Granularity weighs faults against bytes (list in *Granularity*).
# * Ping-pong is as many bytes one way as the other; it ends where nobody takes the pages back (pictures in *Ping-pong*).

# %% [markdown]
# ## From model to kernel
#
# | here | in the kernel |
# |---|---|
# | the CPU touches a device page | `do_swap_page` (memory.c), which calls `svm_migrate_to_ram` (kfd_migrate.c) |
# | the block is cut out of its range | `svm_range_split_by_granularity` (kfd_svm.c), `svm_range_add_child` (kfd_svm.c) |
# | the neighbours become ranges | `svm_range_deferred_list_work` (kfd_svm.c) |
# | the block moves | `svm_migrate_vram_to_ram` (kfd_migrate.c), `svm_migrate_vma_to_ram` (kfd_migrate.c) |
# | the queues stop and go on | `svm_range_evict` (kfd_svm.c), `svm_range_restore_work` (kfd_svm.c) |
# | the granularity | `KFD_IOCTL_SVM_ATTR_GRANULARITY` (kfd_ioctl.h) |
#
# With patch 18 of March 2021 alone, a CPU touch of a page in VRAM kills the program (D10); patch 19 brings the handler. It made the block a new range,
# so the restore worker looked at the wrong one: gpu0 went on writing to VRAM while the CPU read RAM (X49). Patch 38 lets the old range become the block,
# as here. In kernels of about Linux 6.7 the split is gone.

# %% [markdown]
# ## From HIP to here
#
# | HIP | here |
# |---|---|
# | host code that reads memory of `hipMallocManaged` after a kernel | a CPU touch, as in all of this notebook |
# | `hipMemPrefetchAsync` to the CPU | `prefetch="cpu"` |
# | `hipMemAdvise`, advice PreferredLocation, the CPU | `preferred="cpu"` |
# | `hipMemAdvise`, advice AccessedBy | an access attribute of that GPU |
#
# The HIP runtime was not examined for this table; take it as what the calls intend.

# %% [markdown] tags=["stub"]
# ## Next
#
# Notebook 06, *Prefetch, preferred, and their price*: when it pays to move pages early. Answers with reasons are in
# [the version with solutions](solutions/05_coming_back.ipynb).

# %% [markdown] tags=["solution"]
# ## Next
#
# Notebook 06, *Prefetch, preferred, and their price*: when it pays to move pages early. Work in
# [the version without solutions](../05_coming_back.ipynb).
