# %% [markdown]
# # 03 Where should it live?
#
# **Which rule decides where a range belongs?**
#
# About 40 minutes. It needs notebooks 00 to 02.

# %% [markdown]
# ## You will be able to
#
# * **apply** the rules of the best location in their order,
# * **say** when a prefetch to a GPU ends in RAM,
# * **tell** the preferred, the prefetch and the actual location apart.

# %% [markdown]
# ## Setup

# %%
import svmlab as sl
from svmlab.course import check, compare, hint, predict
from svmlab.svm.policy_grid import table
from svmlab.widgets import LocationLab

# %% [markdown]
# ## Warm-up
#
# Two questions on earlier notebooks.
#
# 1. A buffer of 8 pages is in VRAM of gpu0. gpu1, in gpu0's hive and with access, reads all of it. How many pages move?
# 2. A range has 8 pages. A call changes an attribute of pages 2 and 3 alone. How many ranges are there then?

# %% tags=["stub"]
moved = ...
ranges = ...
check("03.w1", moved)
check("03.w2", ranges)

# %% tags=["solution"]
moved = 0
ranges = 3
check("03.w1", moved)
check("03.w2", ranges)

# %% [markdown]
# ## Predict
#
# On `mi210-two-hives`, gpu0 to gpu3 are one hive and gpu4 to gpu7 another one. xnack is off: GPUs take no page faults. A buffer is in RAM. Where is it
# after each of these four runs? Answer `"VRAM of gpu0"` or `"RAM"`; a call could also fail, so for the second one there is `"the call fails"`.
#
# * `one_hive`: gpu0 and gpu1 get access, prefetch to gpu0.
# * `two_hives`: gpu0 and gpu4 get access, prefetch to gpu0.
# * `second_call`: gpu0 gets access, prefetch to gpu0. Then a second call gives gpu4 access, and says nothing else.
# * `preferred`: gpu0 gets access, and gpu0 is the preferred location.

# %% tags=["stub"]
mine = predict("03.p1", one_hive=..., two_hives=..., second_call=..., preferred=...)

# %% tags=["solution"]
mine = predict("03.p1", one_hive="VRAM of gpu0", two_hives="RAM", second_call="RAM", preferred="RAM")

# %% [markdown]
# ## Run
#
# ### Who reaches whose memory
#
# A hive is a set of GPUs joined by *xGMI* links. Inside it, each reaches the VRAM of the others. Say that a GPU is *near* another one if both are in one
# hive, or if it is the same GPU. Otherwise it is *far*. The picture has the machine of this notebook; the lines below it list the hives of others too.

# %%
sl.show(sl.topology("mi210-two-hives"))
for name in ("mi210-two-hives", "mi250x-node", "mi300x-8", "pcie-pair"):
    machine = sl.Machine.find(name)
    print(f"{name:<16} {len(machine.gpus)} GPUs, hives: {list(machine.hives.values()) or 'none'}")

# %% [markdown]
# ### Everybody in one hive
#
# Two GPUs of hive A get access (`populate` gives every page a frame in RAM at once):

# %%
p = sl.Process("mi210-two-hives")
a = p.mmap("1 MiB", name="a", populate=True)
p.set_attr(a, access=["gpu0", "gpu1"], prefetch="gpu0")
p.run()
sl.show(sl.pagemap(p, a))

# %% [markdown]
# The pages are where the call asked for, and both GPUs map them there.
#
# ### A reader in the other hive
#
# The same call, with gpu4 in place of gpu1. Then `p.why` asks the rules of the driver about the pages; the *decision path* shows them:

# %%
p = sl.Process("mi210-two-hives")
a = p.mmap("1 MiB", name="a", populate=True)
p.set_attr(a, access=["gpu0", "gpu4"], prefetch="gpu0")
p.run()
sl.show(sl.pagemap(p, a))
sl.show(sl.decision_path(p.why(a)))

# %% [markdown]
# No error, and no page in VRAM: both GPUs map RAM. The first table of the path decides where the pages belong, their *best location*. An *accessor*
# is a GPU with access, in place or not. The second table compares the best location with where the pages are now.
#
# ### The reader comes later
#
# First gpu0 alone has access. Then a call gives gpu4 access, and names no location. `p.ranges` has three columns for locations: `actual`, `prefetch`,
# `preferred`. Watch them.

# %%
p = sl.Process("mi210-two-hives")
a = p.mmap("1 MiB", name="a", populate=True)
p.set_attr(a, access=["gpu0"], prefetch="gpu0")
p.run()
print(p.ranges(a))
before = len(p.log)
p.set_attr(a, access=["gpu4"])
p.run()
sl.show(sl.timeline(p, since=before))
print(p.ranges(a))

# %% [markdown]
# All pages come home, and all GPUs stand still for it. The range still remembers the prefetch to gpu0; `actual` says `cpu`, which is RAM. Each call
# that changes a range asks the rules again, so the pages go back as soon as the far accessor is gone:

# %%
p.set_attr(a, no_access=["gpu4"])
p.run()
print(p.ranges(a))

# %% [markdown]
# ### A preference
#
# No prefetch this time, but a preferred location:

# %%
p = sl.Process("mi210-two-hives")
a = p.mmap("1 MiB", name="a", populate=True)
p.set_attr(a, access=["gpu0"], preferred="gpu0")
p.run()
print(p.ranges(a))
print(p.why(a))

# %% [markdown]
# The pages stay in RAM, and gpu0 maps them there. *Undefined* means that no place was asked for, so nothing moves.
#
# ### What you predicted

# %%
compare(mine)

# %% [markdown]
# ## Explain
#
# ### All combinations
#
# Five rules are asked in a fixed order, and the first that fires decides. So a table can hold every answer. The picture varies the access of three GPUs,
# the prefetch location and xnack. Rows that always agree are one row; the number in a cell is the rule.
#
# Below it stands the same as text. How often does rule 4 turn a prefetch into RAM? The last lines count that over all combinations of two GPUs, on four
# machines.

# %%
truth = sl.policy_table("mi210-two-hives", gpus=["gpu0", "gpu1", "gpu4"])
sl.show(truth)
print(sl.views.table(truth))
pairs = {"mi210-two-hives": [0, 4], "mi250x-node": [0, 4], "mi300x-8": [0, 4], "pcie-pair": [0, 1]}
for name, pair in pairs.items():
    fired = [row.decision.rule for row in table(sl.Machine.find(name), gpus=pair)]
    print(f"{name:<16} {fired.count('an accessor is far'):>2} of {len(fired)}")

# %% [markdown]
# Read a column downwards: a prefetch to gpu0 ends in RAM in each row in which gpu4 has access. Whether gpu0 has access itself plays no part. Without any
# prefetch the pages stay where they are. With xnack on, nobody's access plays a part.
#
# With one hive for all, rule 4 never fires. On `pcie-pair` it fires as often as between two hives: a GPU in no hive reaches nobody's VRAM but its own.
#
# ### Three locations
#
# The columns of the table of ranges, in the words of the driver:
#
# * The **prefetch** location is what the last call asked for. The rules start from it, in each call anew.
# * The **actual** location is where the driver put the pages.
# * The **preferred** location is a wish for later: none of the five rules looks at it.
#
# **A misconception:** "A prefetch to a GPU always moves pages to that GPU, and preferred means that they will be there." The outputs say otherwise. A
# prefetch asks, and an accessor that is far turns it into RAM, without an error. A preference alone moves nothing.
#
# ### Who looks at the preference?
#
# A GPU fault does, and GPUs take faults only if xnack is on. Nothing is prefetched; gpu0 reads a range in RAM that prefers gpu1. A fault has rules of
# its own; the second picture has their truth table.

# %%
p = sl.Process("mi210-two-hives", xnack=True)
a = p.mmap("1 MiB", name="a", populate=True)
p.set_attr(a, preferred="gpu1")
before = len(p.log)
p.gpu(0).read(a)
sl.show(sl.timeline(p, since=before))
print(p.log.events("decision")[-1].text)
print(p.ranges(a))
sl.show(sl.policy_table("mi210-two-hives", fault="gpu0"))

# %% [markdown]
# The fault moves the pages to gpu1, and maps them for gpu0: the wish is followed, because gpu1 is near. Three locations, three answers: `actual` is gpu1,
# `preferred` is gpu1, and `prefetch` was never set.
#
# With xnack on every GPU has access from the start (`gpu0-7`), so the row ACCESS is the usual one. Look at its last cell: gpu4 is far, so the wish for it is
# passed over. Notebook 08 is about such faults.
#
# ### Rule 1 has a price
#
# With xnack on, a prefetch is taken as it is. Here gpu4 is to use the pages in place, and cannot reach them:

# %%
p = sl.Process("mi210-two-hives", xnack=True)
a = p.mmap("1 MiB", name="a", populate=True)
before = len(p.log)
p.set_attr(a, access_in_place=["gpu4"], prefetch="gpu0")
print(p.why(a))
p.advance("2 ms")
p.gpu(4).read(a)
sl.show(sl.timeline(p, since=before))

# %% [markdown]
# gpu4 is skipped when the range is mapped. Its first touch, 2 ms later (notebook 06 says why so late), is a fault, and the fault brings everything home. The
# pages moved twice, and nobody used them in VRAM. With xnack off, RAM would have been the answer at once.
#
# ## Explore
#
# In this lab the CPU fills a buffer, a call asks for what you choose, and then gpu0 reads. It starts with a
# prefetch to gpu4 that ends in RAM.

# %% tags=["nbval-ignore-output"]
lab = LocationLab()
lab

# %% [markdown]
# 1. Which access lets the pages get to gpu4, as the prefetch asks? What does gpu0's touch meet then?
# 2. Turn xnack on, with access for gpu0. Where are the pages when the call is back, and where after the touch?
# 3. Find a setting in which the preferred location decides where the pages end. Which other control must you change for it?
#
# `LocationLab("pcie-pair")` is the same lab on another machine; `HiveExplorer()`, of `svmlab.widgets` too, compares machines.

# %%
lab.static()

# %% [markdown]
# ## Exercises

# %%
hint("03.1")

# %% [markdown]
# ### 03.1 Which rule fires?
#
# Eight ranges in RAM, each with one call. Complete the last column with the numbers of the rules, as in *All combinations*, and write them down as one text
# of eight digits.
#
# | | machine | xnack | the call sets | rule |
# |---|---|---|---|---|
# | A | `mi300x-8` | off | access for all GPUs, prefetch gpu5 | |
# | B | `mi210-two-hives` | off | access for gpu2 and gpu5, prefetch gpu2 | |
# | C | `pcie-pair` | off | access for gpu0, prefetch gpu0 | |
# | D | `mi210-two-hives` | on | access in place for gpu4, prefetch gpu0 | |
# | E | `mi250x-node` | off | access for gpu0, preferred gpu0 | |
# | F | `mi210-two-hives` | on | access for gpu0, preferred gpu0 | |
# | G | `mi210-two-hives` | off | access for gpu0 and gpu4, prefetch cpu | |
# | H | `mi210-two-hives` | off | prefetch gpu4 | |

# %% tags=["stub"]
rules = ...
check("03.1", rules)

# %% tags=["solution"]
rules = "54512135"
check("03.1", rules)

# %% [markdown] tags=["solution"]
# **Why.** C: a GPU in no hive is still near to itself. D and F: rule 1 fires before any other is asked, also where no prefetch was asked for. E: a preference is no
# prefetch. H: with no accessor at all there is none that is far.

# %% [markdown]
# ### 03.2 The smallest counter-example
#
# "A prefetch to gpu0 puts the pages in VRAM of gpu0." Find a machine and GPUs with access for which it ends in RAM, xnack off, with as few GPUs as possible.
# Write it as `{"machine": "...", "access": ["gpu...", ...]}`; the check adds the prefetch, and runs it.

# %% tags=["stub"]
setting = ...
check("03.2", setting)

# %% tags=["solution"]
setting = {"machine": "pcie-pair", "access": ["gpu1"]}
check("03.2", setting)

# %% [markdown] tags=["solution"]
# **Why.** One accessor is enough if it is far, and gpu0 need not be one. With none at all, every accessor is near, and the pages go to gpu0. On
# `mi210-two-hives`, gpu4 to gpu7 do the same.

# %% [markdown]
# ### 03.3 Write the rules
#
# Write `best`, in about 6 lines. It returns the best location: `None` (it stays), `"cpu"` or the name of a GPU. It gets
#
# * `xnack`: `True` or `False`,
# * `prefetch`: `None` (never asked for), `"cpu"`, or the name of a GPU,
# * `users`: the set of all accessors, as in `{"gpu0", "gpu4"}`; it may be empty,
# * `hives`: a list of sets, one for each hive; a GPU in no hive is in none of them.
#
# The check asks the driver's own policy, for every combination of all GPUs of `mi210-two-hives` and `pcie-pair`, and for some of the other machines.


# %% tags=["stub"]
def best(xnack, prefetch, users, hives):
    raise NotImplementedError


check("03.3", best)


# %% tags=["solution"]
def best(xnack, prefetch, users, hives):
    if xnack or prefetch in (None, "cpu"):
        return prefetch
    near = {prefetch}
    for hive in hives:
        if prefetch in hive:
            near = hive
    return prefetch if users <= near else "cpu"


check("03.3", best)

# %% [markdown] tags=["solution"]
# **Why.** Rules 1 to 3 all give the prefetch location as it is. Rules 4 and 5 ask whether all users are near; the GPU itself is, with or without a hive. A set of
# no users is a part of every set, so rule 5 holds for it.

# %% [markdown]
# ## Key points
#
# * Five rules, asked in order; the first that fires decides (picture in *All combinations*).
# * With xnack off, one accessor outside of the hive turns a prefetch to a GPU into RAM, without an error (*A reader in the other hive*).
# * A call that only gives access can move pages: the prefetch location is remembered (timeline in *The reader comes later*).
# * The preferred location moves nothing by itself; a GPU fault looks at it (ranges in *A preference*, picture in *Who looks at the preference?*).
# * With xnack on the prefetch location is taken as it is, and a far GPU pays later (outputs in *Rule 1 has a price*).

# %% [markdown]
# ## From model to kernel
#
# | here | in the kernel |
# |---|---|
# | the five rules | `svm_range_best_location` (kfd_svm.c) as posted, later `svm_range_best_prefetch_location` (kfd_svm.c) |
# | the second table of a decision path | `svm_range_trigger_migration` (kfd_svm.c) |
# | near: in one hive | `amdgpu_xgmi_same_hive` (amdgpu_xgmi.h), later `svm_nodes_in_same_hive` (kfd_svm.h) |
# | the rules of a GPU fault | `svm_range_best_restore_location` (kfd_svm.c) |
# | a far GPU is skipped | `svm_range_map_to_gpus` (kfd_svm.c) |
#
# The five rules are as posted in March 2021. Rule 1 is the reason of defect D21: an accessor in place that is far loses its mapping silently. In
# later kernels rule 1 is gone. With xnack on they ask rule 4 of the accessors in place alone, and of all accessors with xnack off. Rules 2 and 3 of a fault
# are later ones as well: kernels of about 5.14 do not have them.

# %% [markdown]
# ## From HIP to here
#
# | HIP | here |
# |---|---|
# | `hipMemPrefetchAsync` to a GPU | `prefetch="gpu0"` |
# | `hipMemAdvise`, advice PreferredLocation | `preferred="gpu0"` |
# | `hipMemRangeGetAttribute`, attribute LastPrefetchLocation | the column `prefetch` of `p.ranges` |
#
# The last row explains a puzzle: HIP may report a prefetch to a GPU while the pages are in RAM. The HIP runtime was not examined for this table; take it as
# what the calls intend.

# %% [markdown] tags=["stub"]
# ## Next
#
# Notebook 04, *RAM to VRAM in six steps*: how a migration works inside. Answers with reasons are in
# [the version with solutions](solutions/03_where_should_it_live.ipynb).

# %% [markdown] tags=["solution"]
# ## Next
#
# Notebook 04, *RAM to VRAM in six steps*: how a migration works inside. Work in
# [the version without solutions](../03_where_should_it_live.ipynb).
