# %% [markdown]
# # Gallery: every view, three times
#
# Each picture is one call, and what it says stands below it in words. Location is always colour, hatch and letter.
#
# Nothing here is an exercise. Look at a view when you meet it in a lesson, or to find the one that answers your question.

# %% [markdown]
# ## Setup
#
# Four scenarios that are shipped are run to their end. They are described in `data/scenarios`.

# %%
import svmlab as sl
from svmlab.resources import data_path
from svmlab.scenario.format import Overrides
from svmlab.scenario.runner import load_scenario, run
from svmlab.views import pagemap_over_time, snapshot, view


def finished(name, **over):
    path = data_path("scenarios", f"{name}.toml")
    return run(load_scenario(path, Overrides(**over))).process


migration, fault = finished("first-migration"), finished("first-gpu-fault")
back, stop = finished("there-and-back"), finished("stop-and-go")

# %% [markdown]
# ## Topology
#
# Which GPUs share a hive and reach each other's VRAM, and over which links.
#
# Two hives of four: a buffer in VRAM can be used in place by four GPUs, never by all eight.

# %%
sl.show(sl.topology("mi210-two-hives"))

# %% [markdown]
# One hive of eight: every GPU reaches the VRAM of every other.

# %%
sl.show(sl.topology("mi300x-8"))

# %% [markdown]
# No hive at all: between these two GPUs every page goes through RAM.

# %%
sl.show(sl.topology("pcie-pair"))

# %% [markdown]
# ## Policy table
#
# Where pages belong for every combination of attributes, and which rule says so.
#
# With xnack off an accessor in the other hive keeps the pages in RAM. The framed row is the buffer of "First migration".

# %%
sl.show(view("policy", migration))

# %% [markdown]
# In one hive of eight no accessor is far, so that rule never fires and who has access makes no difference.

# %%
sl.show(sl.policy_table("mi300x-8"))

# %% [markdown]
# Where pages go when a GPU faults on them is another table.

# %%
sl.show(sl.policy_table("mi210-two-hives", fault="gpu0"))

# %% [markdown]
# ## Decision path
#
# Which rule chose the place of the pages, and why the others did not.
#
# The rules are asked from the top, and the first that applies decides: here the last one, since nothing speaks against the prefetch.

# %%
sl.show(view("decision", migration))

# %% [markdown]
# With xnack on the first rule always applies, and the others are not asked.

# %%
sl.show(view("decision", fault))

# %% [markdown]
# A GPU of the other hive got access, so an earlier rule fires: the pages belong in RAM, whatever was prefetched.

# %%
sl.show(view("decision", back))

# %% [markdown]
# ## Timeline
#
# What happened when, who waited, and for what.
#
# A buffer goes to VRAM and comes home in two blocks. The queues of all GPUs stand still twice, mostly for the restore delay.

# %%
sl.show(sl.timeline(migration))

# %% [markdown]
# With xnack on no queue is stopped: the GPU waits in its own page faults. A long wait is cut out of the axis, and the cut is marked.

# %%
sl.show(sl.timeline(fault))

# %% [markdown]
# Work of gpu0 stands still for a buffer it never touches, and the restore worker waits for a lock until the long migration is over.

# %%
sl.show(sl.timeline(stop))

# %% [markdown]
# ## Timeline of a piece of time
#
# The same, zoomed to where there is room for every step.
#
# In the prefetch, moving the page structures and freeing the old pages take longer than the copy.

# %%
sl.show(sl.timeline(migration, zoom=(1_120_000, 1_720_000)))

# %% [markdown]
# One GPU page fault, from the touch to the new mapping.

# %%
sl.show(sl.timeline(fault, zoom=(1_120_000, 1_480_000)))

# %% [markdown]
# The millisecond in which the work of gpu0 stood still.

# %%
sl.show(sl.timeline(stop, zoom=(8_870_000, 10_150_000)))

# %% [markdown]
# ## Page map
#
# Where each page is, in the CPU's table and in every GPU's.
#
# One GPU fault brought one block of 2 MiB: the CPU's table and gpu0's agree about it, and gpu0 knows nothing of the rest.

# %%
p = sl.Process("mi210-two-hives", xnack=True)
a = p.mmap("4 MiB", name="a")
a[:] = 7
p.gpu(0).read(a.pages(3))
sl.show(sl.pagemap(p, a))

# %% [markdown]
# After "First migration" the pages are in RAM again, and gpu0 maps them there.

# %%
sl.show(view("pagemap", migration))

# %% [markdown]
# Three places in one buffer: VRAM of two GPUs, RAM, and nowhere at all.

# %%
p = sl.Process("mi210-two-hives")
a = p.mmap("1 MiB", name="a")
a[: 512 * 1024] = 7
p.set_attr(a.pages(0, 64), access=["gpu0", "gpu1"], prefetch="gpu0")
p.set_attr(a.pages(64, 32), access=["gpu0", "gpu1"], prefetch="gpu1")
p.run()
sl.show(sl.pagemap(p, a))

# %% [markdown]
# ## Page map over time
#
# A row for each moment, and what moved from row to row.
#
# To VRAM in one call, and home block by block as the CPU touches it.

# %%
p = sl.Process("mi210-two-hives")
a = p.mmap("4 MiB", name="a")
a[:] = 7
moments = [snapshot(p, a, "before")]
p.set_attr(a, access=["gpu0"], prefetch="gpu0")
moments.append(snapshot(p, a, "call is back"))
p.run()
moments.append(snapshot(p, a, "restored"))
_ = a[0]
moments.append(snapshot(p, a, "CPU load"))
sl.show(pagemap_over_time(moments))

# %% [markdown]
# With xnack on the driver maps what a fault brings before the GPU goes on.

# %%
p = sl.Process("mi210-two-hives", xnack=True)
a = p.mmap("4 MiB", name="a")
a[:] = 7
moments = [snapshot(p, a, "before")]
for page in (3, 600):
    p.gpu(0).read(a.pages(page))
    moments.append(snapshot(p, a, f"page {page}"))
sl.show(pagemap_over_time(moments))

# %% [markdown]
# From one GPU to the other: the rows show the calls, not the way through RAM in between.

# %%
p = sl.Process("mi210-two-hives")
a = p.mmap("1 MiB", name="a")
a[:] = 7
moments = [snapshot(p, a, "before")]
for gpu in ("gpu0", "gpu1"):
    p.set_attr(a, access=["gpu0", "gpu1"], prefetch=gpu)
    p.run()
    moments.append(snapshot(p, a, f"on {gpu}"))
sl.show(pagemap_over_time(moments))

# %% [markdown]
# ## Steps
#
# The numbered steps of a mechanism, the current one lit, beside a picture of that moment.
#
# The last migration of "First GPU page fault", and where the pages are after it.

# %%
sl.show(view("steps", fault))

# %% [markdown]
# In the middle of the copy of "First migration": the queues stand still since step 1.

# %%
copied = int(migration.log.select("copy")[0])
sl.show(sl.steps(migration, at=copied, beside=sl.timeline(migration, until=copied + 1, zoom=(1_128_000, 1_400_000))))

# %% [markdown]
# The steps of a mechanism are those that its code is written by.

# %%
sl.show(sl.steps("restore_work", at=3))

# %% [markdown]
# ## Range strip
#
# The ranges of the driver before and after a call, and what changed in them.
#
# Access for some pages cuts the range in three.

# %%
p = sl.Process("mi210-two-hives")
a = p.mmap("64 KiB", name="a")
p.set_attr(a, access=["gpu0"])
before = sl.range_strip(p, a)
p.set_attr(a.pages(4, 4), access=["gpu1"])
sl.show(sl.range_strip(p, a, before=before, call="set_attr of 4 pages"))

# %% [markdown]
# A prefetch changes the prefetch location and the actual location of the range, and no more.

# %%
p = sl.Process("mi210-two-hives")
a = p.mmap("64 KiB", name="a")
a[:] = 7
p.set_attr(a, access=["gpu0"])
before = sl.range_strip(p, a)
p.set_attr(a, prefetch="gpu0")
p.run()
sl.show(sl.range_strip(p, a, before=before, call="a prefetch"))

# %% [markdown]
# Unmapping the middle leaves the two ends.

# %%
p = sl.Process("mi210-two-hives")
a = p.mmap("64 KiB", name="a")
a[:] = 7
p.set_attr(a, access=["gpu0"], prefetch="gpu0")
p.run()
before = sl.range_strip(p, a)
p.munmap(a.pages(6, 4))
p.run()
sl.show(sl.range_strip(p, a, before=before, call="munmap of 4 pages"))

# %% [markdown]
# ## VRAM map
#
# Who holds the memory of a GPU, in which pieces, and what is free.
#
# Two buffers in 64 GiB: the axis leaves out what is free.

# %%
sl.show(view("vram", stop))

# %% [markdown]
# The buffer between these two was unmapped: its 8 MiB are a gap that waits for a buffer that fits.

# %%
p = sl.Process("toy", vram="32 MiB")
for name, size in (("a", "4 MiB"), ("b", "8 MiB"), ("c", "4 MiB")):
    buffer = p.mmap(size, name=name)
    p.set_attr(buffer, access=["gpu0"], prefetch="gpu0")
    if name == "b":
        middle = buffer
p.munmap(middle)
p.run()
sl.show(sl.vram_map(p, "gpu0"))

# %% [markdown]
# Where the free memory is in small pieces, a buffer is spread over many nodes.

# %%
p = sl.Process("toy", vram="32 MiB")
p.vram_layout("gpu0", [(64 * n, 32) for n in range(1, 16)])
a = p.mmap("1 MiB", name="a")
p.set_attr(a, access=["gpu0"], prefetch="gpu0")
sl.show(sl.vram_map(p, "gpu0"))

# %% [markdown]
# ## Counters
#
# How many bytes moved and why, and what it cost.
#
# As many bytes came home by CPU faults as went to VRAM by the prefetch.

# %%
sl.show(sl.counters(migration))

# %% [markdown]
# The same bytes by page faults of the GPU: nobody else waited.

# %%
sl.show(sl.counters(fault))

# %% [markdown]
# 2 MiB were moved at the price of a second stop of every queue.

# %%
sl.show(sl.counters(stop))

# %% [markdown]
# ## Two runs
#
# Two runs on one axis, with the first event in which they differ. `svmlab compare` also names the decision point behind it.
#
# From GPU to GPU: as intended the pages go through RAM; as posted nothing can be collected, and the call fails.

# %%
other = finished("there-and-back", behaviour="as-posted")
sl.show(sl.two_runs(back, other, names=("as-intended", "as-posted")))

# %% [markdown]
# With the patches as posted a GPU touch of an unmapped page is fatal.

# %%
other = finished("first-gpu-fault", behaviour="as-posted")
sl.show(sl.two_runs(fault, other, names=("as-intended", "as-posted")))

# %% [markdown]
# The driver of today allocates VRAM before it collects pages.

# %%
other = finished("first-migration", behaviour="upstream")
sl.show(sl.two_runs(migration, other, names=("as-intended", "upstream")))
