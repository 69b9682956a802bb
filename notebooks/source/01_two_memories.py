# %% [markdown]
# # 01 Two memories, one address
#
# **What does a pointer mean on both sides?**
#
# About 30 minutes. It needs notebook 00.

# %% [markdown]
# ## You will be able to
#
# * **convert** an address to a page, a byte in it and a block,
# * **count** the pages that a span of bytes touches,
# * **tell** whether a page is resident, mapped and accessible, for the CPU and for each GPU.

# %% [markdown]
# ## Setup

# %%
import svmlab as sl
from svmlab.course import check, compare, hint, predict
from svmlab.widgets import AddressExplorer

# %% [markdown]
# ## Warm-up
#
# Two questions on notebook 00.
#
# 1. A prefetch to gpu0 has just returned. Are the queues of the process `"running"` or `"evicted"`?
# 2. A buffer of 4 MiB is in VRAM and the CPU reads one byte. How many pages come home?

# %% tags=["stub"]
queues = ...
pages = ...
check("01.w1", queues)
check("01.w2", pages)

# %% tags=["solution"]
queues = "evicted"
pages = 512
check("01.w1", queues)
check("01.w2", pages)

# %% [markdown]
# ## Predict
#
# A process asks for 8 pages of memory with `mmap`. Then its CPU reads one byte of the first page, which nobody has written. Then a call gives gpu0 access to
# all 8 pages, and the restore worker does its work.
#
# * `after_mmap`: how many pages have memory behind them when `mmap` returns? `"none"`, `"one"` or `"all"`.
# * `after_read`: what does the CPU's table name for the page that was read? `"nothing"`, `"a frame of its own"` or `"the zero page"`.
# * `after_access`: for how many of the pages does gpu0's table have an entry in the end? `"none"`, `"one"` or `"all"`.

# %% tags=["stub"]
mine = predict("01.p1", after_mmap=..., after_read=..., after_access=...)

# %% tags=["solution"]
mine = predict("01.p1", after_mmap="none", after_read="the zero page", after_access="all")

# %% [markdown]
# ## Run
#
# ### An address without memory
#
# `mmap` hands out addresses. Physical memory comes in *frames* of 4 KiB, and `mmap` takes none. A *page table* says which frame a page is in: the CPU has
# one for the process, and each GPU has one of its own.

# %%
p = sl.Process("mi210-two-hives", vram="64 MiB")
a = p.mmap("32 KiB", name="a")
sl.show(sl.translation(p, a.address))

# %% [markdown]
# An address is a page number and a byte in the page: the lower 12 bits are the byte. 512 pages that begin at a multiple of 512 are a *block* of 2 MiB; a CPU
# fault brings one home. No table knows this page yet.
#
# ### First touch
#
# The CPU reads byte 16 and finds 0. Then it writes the next page.

# %%
print("byte 16 is", a[16])
a[4096:8192] = 7
sl.show(sl.translation(p, a.address + 16))
sl.show(sl.translation(p, a.address + 4096 + 16))

# %% [markdown]
# Each touch was a *page fault*: the CPU found no entry, the kernel made one, and the CPU went on. The page that was only read shares the *zero page*,
# one frame full of zeros for everybody, which nobody may write. The page that was written has a frame of its own.
#
# ### A second table for the same address
#
# gpu0 knows none of this. It looks into its own table, and only the driver writes there. With access, every page of the buffer gets an entry:

# %%
p.set_attr(a, access=["gpu0"])
p.run()
sl.show(sl.translation(p, a.address + 16))
sl.show(sl.pagemap(p, a))

# %% [markdown]
# Two tables, one frame, and no zero page any more: gpu0 may write, so the page needed a frame of its own. Nothing was copied: what gpu0 writes, the CPU
# reads, at the same address.

# %%
p.gpu(0).write(a, 9)
print("the CPU reads", a[4096], "and", a[20000])
print("migrations:", p.log.count("migrate_end"))

# %% [markdown]
# All 8 pages are in RAM now, though the CPU touched only two. To map a page for gpu0 the driver needs a frame, so it let the kernel fault in every page.
#
# ### Another frame for the same address
#
# A prefetch moves the bytes into a frame of gpu0's VRAM. The pointer stays what it was; both tables change.

# %%
moved = len(p.log)
p.set_attr(a, prefetch="gpu0")
p.run()
sl.show(sl.translation(p, a.address + 16))
sl.show(sl.timeline(p, since=moved))

# %% [markdown]
# The CPU's table still names the frame, but as a *device page*: it says where the page is, and lets nobody in. A touch would be a fault that brings the
# page home.
#
# ### What you predicted

# %%
compare(mine)

# %% [markdown]
# ## Explain
#
# Three words that are easily mixed up:
#
# * A page is **resident** if some frame holds it. It is in one memory, or in none.
# * It is **mapped** in a table if that table has an entry for it.
# * It is **accessible** to somebody if their entry lets them read or write without a fault.
#
# The picture of an address after the prefetch shows all three apart: the page is resident in VRAM; the CPU's table names it, and the CPU has no access;
# gpu0 has both; gpu1's table does not know the page at all. gpu1 is in gpu0's hive and could reach the frame. It was not given access:

# %%
p = sl.Process("mi210-two-hives", vram="64 MiB")
a = p.mmap("32 KiB", name="a")
a[:] = 7
p.set_attr(a, access=["gpu0", "gpu1"], prefetch="gpu0")
p.run()
sl.show(sl.pagemap(p, a))
print("gpu1 reads", p.gpu(1).read(a)[:4])

# %% [markdown]
# Now gpu1 reads VRAM of gpu0 through the link between them, and still no copy is made.
#
# **A misconception:** "A pointer says where the data is, so data on the GPU needs a pointer of its own." The number in the pointer is the same on both sides.
# Where the data is stands in page tables, which change under it while a program runs.
#
# A GPU that finds no entry cannot wait for one if xnack is off. It stops, and so does everything the process has on GPUs:

# %%
p = sl.Process("mi210-two-hives", vram="64 MiB")
a = p.mmap("32 KiB", name="a")
a[:] = 7
work = p.start.gpu_read("gpu0", a)
p.run()
print(work.error)
print("queues:", p.look.queues())

# %% [markdown]
# ## Explore
#
# The explorer has a buffer of 4 MiB, of which gpu0 holds 2 MiB; the CPU wrote only some of the rest. Move through it with the
# arrow keys, or type numbers.

# %% tags=["nbval-ignore-output"]
explorer = AddressExplorer()
explorer

# %% [markdown]
# 1. Which bits of the address change when you go from one page to the next?
# 2. Find a page that is mapped and not accessible. Who could use it, and who not?
# 3. Let the CPU touch a device page. Which other pages change with it, and which of their bits do they have in common?

# %%
explorer.static()

# %% [markdown]
# ## Exercises
#
# Spans of pages are *closed* intervals in the driver: `[start, last]`, both ends belong to them.

# %%
hint("01.1")

# %% [markdown]
# ### 01.1 Pages of a span
#
# Complete the function: it gets the address of the first byte and the number of bytes (at least 1), and returns the first and the last page that they
# touch. Only the line with the dots is missing.


# %% tags=["stub"]
def pages_of(address, nbytes):
    start = address // 4096
    last = ...
    return start, last


check("01.1", pages_of)


# %% tags=["solution"]
def pages_of(address, nbytes):
    start = address // 4096
    last = (address + nbytes - 1) // 4096
    return start, last


check("01.1", pages_of)

# %% [markdown] tags=["solution"]
# **Why.** The last byte is at `address + nbytes - 1`; its page is the last one. Without the `- 1` a span that ends at the end of a page would get one page
# too many, and the driver would stop queues for a page nobody asked about.

# %% [markdown]
# ### 01.2 Read without a copy
#
# A buffer lies in VRAM of gpu0, and gpu0 works on it: `{"access": ["gpu0"], "prefetch": "gpu0"}`. Change one attribute, so that gpu1, of the same hive, can
# read it too, and not one page moves that did not move before.

# %% tags=["stub"]
share = ...
check("01.2", share)

# %% tags=["solution"]
share = {"access": ["gpu0", "gpu1"], "prefetch": "gpu0"}
check("01.2", share)

# %% [markdown] tags=["solution"]
# **Why.** Access is what puts entries into a GPU's table. Within a hive the entry may name a frame of another GPU's VRAM, so the page stays where it is.
# `access_in_place` for gpu1 does the same here.

# %% [markdown]
# ### 01.3 Four pages, four fates
#
# Write calls on a buffer `a` of four pages that nobody has touched, so that after `p.run()`
#
# * page 0 is in VRAM of gpu0, and mapped by gpu0,
# * page 1 is in RAM, and mapped by gpu0,
# * page 2 is in RAM, and no GPU maps it,
# * page 3 is resident nowhere.
#
# `a.pages(2)` names page 2 alone, wherever a call takes a span; `p.cpu_write(a.pages(2), 7)` stores into it. About 3 lines.


# %% tags=["stub"]
def story(p, a):
    raise NotImplementedError


check("01.3", story)


# %% tags=["solution"]
def story(p, a):
    p.set_attr(a.pages(0), access=["gpu0"], prefetch="gpu0")
    p.set_attr(a.pages(1), access=["gpu0"])
    p.cpu_write(a.pages(2), 7)


check("01.3", story)

# %% [markdown] tags=["solution"]
# **Why.** Access and prefetch belong to a range of pages, so each page can have its own. Nobody needs to touch pages 0 and 1: the driver faults in what it
# moves or maps. Page 2 is touched by the CPU alone, and nobody asks for page 3.

# %% [markdown]
# ## Key points
#
# * An address is a page and a byte in it (titles of the pictures in *Run*); 512 pages, aligned, are a block, which one fault brings home
#   (output in *Explore*).
# * `mmap` gives addresses, a touch gives a frame; reading gives the zero page only (pictures in *First touch*).
# * The CPU and each GPU have a table of their own, and the driver keeps them apart or in step (picture after `p.set_attr`).
# * Sharing needs no copy; a migration changes the frame and not the address (pictures in *Another frame for the same address*).
# * Resident, mapped and accessible are three things (first picture in *Another frame for the same address*).

# %% [markdown]
# ## From model to kernel
#
# | here | in the kernel |
# |---|---|
# | a CPU touch without an entry | `do_anonymous_page` (memory.c) |
# | a device page in the CPU's table | a device-private entry, as `migrate_vma_insert_page` (migrate_device.c) writes it |
# | faulting in pages for a GPU | `hmm_range_fault` (hmm.c), called by `amdgpu_hmm_range_get_pages` (amdgpu_hmm.c) |
# | writing a GPU's table | `svm_range_map_to_gpu` (kfd_svm.c), `amdgpu_vm_update_range` (amdgpu_vm.c) |
# | which memory a GPU may map | `svm_range_get_pte_flags` (kfd_svm.c) |
# | an access to VRAM by the CPU | `svm_migrate_to_ram` (kfd_migrate.c) |
#
# As posted in March 2021, mapping took the VRAM of a range as one line of pages (X22, X23). Here, as later in the kernel, it follows the CPU's table page by
# page.

# %% [markdown]
# ## From HIP to here
#
# | HIP | here |
# |---|---|
# | a pointer from `hipMallocManaged`, used by host and kernel code | one address, as in all of this notebook |
# | `malloc` memory used by a kernel, with xnack on | memory no call registered: notebook 08 |
# | `hipMalloc` | memory of a GPU outside of SVM: not modelled |

# %% [markdown] tags=["stub"]
# ## Next
#
# Notebook 02, *Ranges and attributes*: what happens when two calls overlap. Answers with reasons are in
# [the version with solutions](solutions/01_two_memories.ipynb).

# %% [markdown] tags=["solution"]
# ## Next
#
# Notebook 02, *Ranges and attributes*: what happens when two calls overlap. Work in
# [the version without solutions](../01_two_memories.ipynb).
