# %% [markdown]
# # 02 Ranges and attributes
#
# **What happens when two calls overlap?**
#
# About 35 minutes. It needs notebooks 00 and 01.

# %% [markdown]
# ## You will be able to
#
# * **predict** the list of ranges after calls that overlap,
# * **state** the attributes of memory that no call has named,
# * **tell** what a query answers for pages of several ranges.

# %% [markdown]
# ## Setup

# %%
import svmlab as sl
from svmlab.course import check, compare, hint, predict
from svmlab.widgets import RangeEditor

# %% [markdown]
# ## Warm-up
#
# Two questions on notebook 01.
#
# 1. How many pages has the closed interval `[4, 7]`?
# 2. A page is in VRAM of gpu0. Is it `"mapped"` or `"accessible"` for the CPU? Only one of them is right.

# %% tags=["stub"]
pages = ...
page = ...
check("02.w1", pages)
check("02.w2", page)

# %% tags=["solution"]
pages = 7 - 4 + 1
page = "mapped"
check("02.w1", pages)
check("02.w2", page)

# %% [markdown]
# ## Predict
#
# A *range* is a run of pages with one set of attributes. The driver keeps a list of them for each process. `set_attr` changes the list, and the query
# `get_attr` answers from it; in these notebooks the query is called `p.attributes`.
#
# A buffer has 16 pages. The first call gives gpu0 access to all of them. The second is about pages 4 to 7 only: `access=["gpu1"], preferred="gpu1"`.
#
# * `ranges`: how many ranges has the list then? `"one"`, `"two"` or `"three"`.
# * `access`: who has access to page 4? `"gpu0"`, `"gpu1"` or `"both"`.
# * `preferred`: somebody asks for the preferred location of all 16 pages at once. The answer is `"cpu"`, `"gpu1"` or `"undefined"`.

# %% tags=["stub"]
mine = predict("02.p1", ranges=..., access=..., preferred=...)

# %% tags=["solution"]
mine = predict("02.p1", ranges="three", access="both", preferred="undefined")

# %% [markdown]
# ## Run
#
# ### Memory that no call named

# %%
p = sl.Process("mi210-two-hives", vram="64 MiB")
a = p.mmap("64 KiB", name="a")
print(p.ranges(a))
p.attributes(a)

# %% [markdown]
# No range, and still an answer: these are the *defaults*, the attributes that a new range begins with.
#
# * Both locations are undefined: nobody asked for a place.
# * Two *flags*, which are switches, are on: `host_access` and `coherent`.
# * The *granularity* 9 stands for 2^9 = 512 pages, 2 MiB. It is the block of notebook 01, which a CPU fault brings home.
# * No GPU has access, neither `access` nor `access_in_place`. A range gives a GPU one of the two or none; with xnack off both do the same
#   (notebook 03 shows the other case).
#
# The last point holds because xnack is off. With xnack on every GPU has access by default:

# %%
faulting = sl.Process("mi210-two-hives", vram="64 MiB", xnack=True)
print(faulting.attributes(faulting.mmap("64 KiB"))["access"])

# %% [markdown]
# ### Two calls
#
# The first call makes a range, with the defaults and what the call names. Then comes the second call. A *range strip* shows each range as a bar, and below
# it the attributes that are not the defaults. `R` is where the driver counts a range as long as it has not moved it, even if nobody has touched the pages.

# %%
p.set_attr(a, access=["gpu0"])
before = sl.range_strip(p, a)
p.set_attr(a.pages(4, 4), access=["gpu1"], preferred="gpu1")
sl.show(sl.range_strip(p, a, before=before, call="the second call"))

# %% [markdown]
# The driver cuts the range at both edges of the call. All pieces keep what they had, and the middle one gets what the call names. gpu0 still has access:
# nobody took it away, as `no_access=["gpu0"]` would have.
#
# ### A call beyond the edges
#
# Now a range lies inside the span of a call, with *gaps* around it, pages that no range covers:

# %%
p = sl.Process("mi210-two-hives", vram="64 MiB")
a = p.mmap("64 KiB", name="a")
p.set_attr(a.pages(4, 4), access=["gpu0"])
before = sl.range_strip(p, a)
p.set_attr(a, granularity=2)
sl.show(sl.range_strip(p, a, before=before, call="a call on all pages"))

# %% [markdown]
# One call, and three ranges: the old one takes the new granularity, 2^2 pages or 16 KiB, and each gap becomes a range with the defaults and that granularity.
# What if all three get the same attributes? And what if a call asks for nothing new? `p.ranges` lists all attributes; a dash is undefined or nobody.

# %%
p.set_attr(a, access=["gpu0"])
print(p.ranges(a))
p.set_attr(a.pages(5, 2), access=["gpu0"])
print(len(p.ranges(a)), "ranges after a call on pages 5-6")

# %% [markdown]
# Ranges are never joined, not even equal neighbours. And a range that is mapped and has what a call asks for is not even cut, unless the call prefetches.
#
# ### What the query answers
#
# Two ranges that differ in many ways, and one answer for both:

# %%
p = sl.Process("mi210-two-hives", vram="64 MiB")
a = p.mmap("64 KiB", name="a")
p.set_attr(a.pages(0, 8), preferred="gpu0", access=["gpu0", "gpu1"])
p.set_attr(a.pages(8, 8), preferred="gpu1", access=["gpu0"], granularity=4, set_flags=["gpu_ro"])
print(p.ranges(a))
p.attributes(a)

# %% [markdown]
# The answer is what the ranges have in common:
#
# * a location, if it is the same in all of them, else `undefined`,
# * the flags that all of them have,
# * the smallest granularity,
# * the GPUs that are in the access list of every range; likewise for access in place.
#
# Pages without a range have no say. Here one range of four pages speaks for all 16:

# %%
p = sl.Process("mi210-two-hives", vram="64 MiB")
a = p.mmap("64 KiB", name="a")
p.set_attr(a.pages(0, 4), preferred="gpu0")
print("pages 0-15:", p.attributes(a)["preferred"])
print("pages 4-15:", p.attributes(a.pages(4, 12))["preferred"])

# %% [markdown]
# ### What you predicted

# %%
compare(mine)

# %% [markdown]
# ## Explain
#
# How does one range become three? Here is the log of such a call; `0x7e0000000` is the buffer's first page:

# %%
p = sl.Process("mi210-two-hives", vram="64 MiB")
a = p.mmap("64 KiB", name="a")
p.set_attr(a, access=["gpu0"])
since = len(p.log)
p.set_attr(a.pages(4, 4), access=["gpu1"])
for event in p.log.events("range_split", "range_add", "attributes", "range_remove", "map_to_gpu", since=since):
    print(event)

# %% [markdown]
# The driver copies the range and cuts the copy. If that fails, it throws the copy away, and nothing has changed. Then, while nobody else can look, it
# registers the pieces, gives the middle one its attributes, and removes the old range. Only then it works on pages: it maps the middle piece for both GPUs.
#
# A call that cannot be served is refused before all of this. The next one reaches 16 pages beyond the buffer:

# %%
try:
    p.set_attr(sl.Span(a.address, 2 * a.nbytes), preferred="gpu0")
except sl.DriverError as error:
    print(error)
print(p.ranges(a))

# %% [markdown]
# No range prefers gpu0: the pages inside the buffer did not get half a call.
#
# **A misconception:** "A second call replaces the first range." The log does remove a range, but its pieces carry on:
#
# * Pages outside of the second call stay as they are, in ranges of their own.
# * Pages in both calls have the attributes of both; only where both name the same attribute does the second one win.
#
# Each call may leave more ranges, and the driver moves and maps them one by one.

# %% [markdown]
# ## Explore
#
# In this editor, choose which ranges there are, which pages a call is about, and what it asks for. Existing ranges give access to gpu0.

# %% tags=["nbval-ignore-output"]
editor = RangeEditor()
editor

# %% [markdown]
# 1. Ask for access for gpu0 where one range has all pages. How many ranges are there afterwards, and why?
# 2. Choose the range with free pages around it, and pages 0-15. For which calls do the three ranges have equal attributes in the end?
# 3. Start with two ranges. Which pages must a call be about, so that both are cut? How many ranges are there then?

# %%
editor.static()

# %% [markdown]
# ## Exercises

# %%
hint("02.1")

# %% [markdown]
# ### 02.1 Order the steps
#
# Write the letters in the order in which `set_attr` does these things, as text. One piece does not belong.
#
# * A: remove the ranges that were replaced
# * B: give the attributes to the ranges inside the span
# * C: migrate and map, range by range
# * D: check the attributes, and that every page is mapped memory
# * E: join neighbours that have equal attributes
# * F: copy and cut the ranges that stick out, make new ones for gaps
# * G: register copies, pieces and new ranges

# %% tags=["stub"]
order = ...
check("02.1", order)

# %% tags=["solution"]
order = "DFGBAC"
check("02.1", order)

# %% [markdown] tags=["solution"]
# **Why.** What may fail comes first: the checks (D), then making the pieces (F). Changing the list (G, B, A) does not fail, and nobody sees half of it.
# Work on pages (C) needs the new list; if it fails, the attributes stay changed. E never happens.

# %% [markdown]
# ### 02.2 Two spans, which ranges?
#
# There is one range, with the pages `old`. A call about the pages `new` asks for something that the range does not have. Both are pairs `(first, last)`.
# Return all ranges there are afterwards, as a list of such pairs, in the order of their pages. About 4 lines.


# %% tags=["stub"]
def overlap(old, new):
    raise NotImplementedError


check("02.2", overlap)


# %% tags=["solution"]
from itertools import pairwise


def overlap(old, new):
    edges = sorted({old[0], old[1] + 1, new[0], new[1] + 1})
    pieces = [(first, end - 1) for first, end in pairwise(edges)]
    return [piece for piece in pieces if any(span[0] <= piece[0] <= span[1] for span in (old, new))]


check("02.2", overlap)

# %% [markdown] tags=["solution"]
# **Why.** A range ends wherever attributes may change: at the edges of both spans. Between two edges all pages have the same history, and a piece in neither
# span is a gap that stays one. The check tries every two spans in five pages, so all thirteen ways in which two spans can lie.

# %% [markdown]
# ### 02.3 Nowhere listed, everywhere allowed
#
# Somebody claims: "If `p.attributes(a)` lists gpu0 neither under `access` nor under `access_in_place`, some page of `a` gives gpu0 no access." Write calls on a
# fresh buffer of 16 pages, xnack off, that show the claim to be false. Each call is a first page, a last page and its attributes, such as
# `(4, 7, {"preferred": "gpu0"})`.

# %% tags=["stub"]
calls = ...
check("02.3", calls)

# %% tags=["solution"]
calls = [(0, 7, {"access": ["gpu0"]}), (8, 15, {"access_in_place": ["gpu0"]})]
check("02.3", calls)

# %% [markdown] tags=["solution"]
# **Why.** The two kinds of access exclude each other, and the query joins each list by itself. gpu0 is missing in one range of each, and so in both answers,
# though it can read every page. Ask about each part by itself if you need to know.

# %% [markdown]
# ## Key points
#
# * Memory without a range has the defaults: no location, 2 MiB, two flags, access by xnack (first two outputs of *Run*).
# * A call cuts ranges at its edges, and changes only the attributes it names (picture in *Two calls*).
# * Gaps in a call become ranges with defaults; nothing is ever joined (outputs of *A call beyond the edges*).
# * A query answers with what ranges have in common, and leaves gaps out (outputs of *What the query answers*).
# * A call that is refused changes nothing (last output of *Explain*).

# %% [markdown]
# ## From model to kernel
#
# | here | in the kernel |
# |---|---|
# | `p.set_attr` | `kfd_ioctl_svm` (kfd_chardev.c), then `svm_range_set_attr` (kfd_svm.c) |
# | what is refused | `svm_range_check_attr` (kfd_svm.c), `svm_range_is_valid` (kfd_svm.c) |
# | copies, pieces and new ranges | `svm_range_add` (kfd_svm.c), with `svm_range_clone` (kfd_svm.c) and `svm_range_split` (kfd_svm.c) |
# | the defaults | `svm_range_set_default_attributes` (kfd_svm.c) |
# | giving attributes | `svm_range_apply_attrs` (kfd_svm.c) |
# | "has it already" | `svm_range_is_same_attrs` (kfd_svm.c), in later kernels |
# | `p.attributes` | `svm_range_get_attr` (kfd_svm.c) |
#
# As posted in March 2021, ranges were cut even if nothing changed, and a request was compared with a range full of zeros, so that a change of access could be
# lost (X30). With xnack on, a new range gave access to nobody. With several ranges to move, the first that fails ends the call (D16), here as in the posting;
# later kernels go on with the others. They also limit how large a new range may be, and cut longer ones.

# %% [markdown]
# ## From HIP to here
#
# | HIP | here |
# |---|---|
# | `hipMemAdvise` with `hipMemAdviseSetPreferredLocation` | `preferred="gpu0"` |
# | `hipMemAdvise` with `hipMemAdviseSetReadMostly` | `set_flags=["gpu_read_mostly"]` |
# | `hipMemRangeGetAttribute` | `p.attributes`: flags that all pages have, a location if it is the same |
#
# HIP takes any bytes and rounds outward to pages. The driver itself refuses a span that is not made of whole pages. What the runtime does in between was
# not examined: read the table as intent.

# %% [markdown] tags=["stub"]
# ## Next
#
# Notebook 03, *Where should it live?*: which rule decides where a range belongs. Answers with reasons are in
# [the version with solutions](solutions/02_ranges_and_attributes.ipynb).

# %% [markdown] tags=["solution"]
# ## Next
#
# Notebook 03, *Where should it live?*: which rule decides where a range belongs. Work in
# [the version without solutions](../02_ranges_and_attributes.ipynb).
