# %% [markdown]
# # A The real driver and a real log
#
# **How do you see on a machine of your own what this course has shown?**
#
# About 30 minutes. It needs notebooks 00, 05 and 07.

# %% [markdown]
# ## You will be able to
#
# * **read** a line that the driver has written,
# * **capture** a log on a machine with such a GPU, and let svmlab add it up, draw it and replay it,
# * **say** what such a log does not tell, and where this model is not the driver.

# %% [markdown]
# ## Setup
#
# The sample logs of svmlab have the form of real ones, and are *not* real: svmlab wrote them from simulations, as their first line says. No log of a real machine was at
# hand.

# %%
from pathlib import Path
from tempfile import TemporaryDirectory

import svmlab as sl
from svmlab.course import check, compare, predict
from svmlab.course.bank.nb_a import DROPPED, lines_of, read_lines
from svmlab.resources import data_path
from svmlab.scenario.experiment import perform
from svmlab.widgets import TraceViewer

sample = data_path("traces", "first-migration.smi")

# %% [markdown]
# ## Warm-up
#
# Two questions on earlier notebooks.
#
# 1. How many pages are 2 MiB?
# 2. xnack is off, and a call prefetches a buffer from RAM to gpu0. The driver notes that the migration starts. What does it note next: `"the end of the migration"`,
#    `"the queues stop"` or `"the queues run again"`?

# %% tags=["stub"]
pages = ...
follows = ...
check("A.w1", pages)
check("A.w2", follows)

# %% tags=["solution"]
pages = 512
follows = "the queues stop"
check("A.w1", pages)
check("A.w2", follows)

# %% [markdown]
# ## Predict
#
# This is a line of the kernel, about pages on their way to a GPU with the id 711f:
#
#     5 1128400 -1 @7e0000000(400) 0->711f 711f:ffffffff 0
#
# * `pages`: how many pages is it about? `"400"`, `"512"` or `"1024"`.
# * `moved`: can you read from such lines how many pages did move? `"yes"` or `"no"`.
# * `causes`: does a log of the driver tell which event led to which? `"yes"` or `"no"`.

# %% tags=["stub"]
mine = predict("A.p1", pages=..., moved=..., causes=...)

# %% tags=["solution"]
mine = predict("A.p1", pages="1024", moved="no", causes="no")

# %% [markdown]
# ## Run
#
# ### Lines
#
# The CPU fills 4 MiB, a call prefetches them to gpu0, and the CPU reads. Each GPU has a line for the stop of its queues; here are the lines without those of gpu1 to
# gpu7.

# %%
ids = sample.read_text().splitlines()[1].split()[2:]
for line in sample.read_text().splitlines():
    if not any(f"-1 {gpu} " in line for gpu in ids[1:]):
        print(line)

# %% [markdown]
# ### Field by field
#
# A line begins with an id, in hexadecimal, the time in nanoseconds since the machine was started, and a minus sign with the process id. Pages, sizes in pages and ids of GPUs are hexadecimal, without
# a prefix; a GPU 0 is RAM.
#
# | id | event | what follows |
# |---|---|---|
# | 5 | a migration starts | `@`first page`(`pages`)` from`->`to prefetch`:`preferred trigger |
# | 6 | a migration ends | `@`first page`(`pages`)` from`->`to trigger, and in newer kernels an error |
# | 7 | a GPU fault comes in | `@`page`(`GPU`)`, W or R |
# | 8 | a GPU fault is served | `@`page`(`GPU`)`, M (migrated) or U (only mapped) |
# | 9 | queues stop | GPU, trigger |
# | a | queues run again | GPU, and 0; R: the restore starts over |
# | b | a mapping goes | `@`first page`(`pages`)` GPU trigger |
#
# Triggers of a migration: 0 a prefetch, 1 a GPU fault, 2 a CPU fault, 3 a full VRAM. The location `ffffffff` is undefined.
#
# ### What it adds up to
#
# `sl.read_trace` reads a file. `summary` adds it up:

# %%
trace = sl.read_trace(sample)
print(trace.summary())

# %% [markdown]
# The pages went there in one piece and home in two, block by block. The views that you know take a trace as they take a process:

# %%
sl.show(sl.timeline(trace))
sl.show(sl.counters(trace))

# %% [markdown]
# The timeline has fewer rows than that of a simulation, and the counters have zeros for CPU faults and mappings: the driver does not report them.
#
# ### Replay
#
# `replay` lets all that happen again, and keeps account of where the pages are. It objects where a line cannot follow from those before it.

# %%
replay = trace.replay()
print(replay)
sl.show(sl.pagemap_over_time(replay.moments()))

# %% [markdown]
# ### Why
#
# A simulation knows what led to what. A driver's log has times and triggers alone, so svmlab infers:

# %%
last = trace.log.events("queue_restore")[7]
print(last)
print(trace.why(last.id))

# %% [markdown]
# The last line says what the chain is worth.
#
# ### The same, from the runtime
#
# ROCm's runtime can write the same events, in other words. One run, both forms:

# %%
p = sl.Process("toy")
a = p.mmap("64 KiB", name="a", populate=True)
p.set_attr(a, access=["gpu0"], prefetch="gpu0")
p.run()
with TemporaryDirectory() as folder:
    files = [Path(folder) / name for name in ("run.smi", "run.rocr")]
    for file in files:
        sl.write_trace(p, file)
        print(file.read_text().splitlines()[-1])
    kernel, runtime = (sl.read_trace(file).summary() for file in files)
print("the same summary:", kernel == runtime)

# %% [markdown]
# The runtime names GPUs by number, and leaves out errors, the preferred location, and that a restore starts over.
#
# ### What no line tells
#
# Two runs of a model of about Linux 7. In the second one page is pinned in RAM, so it cannot move.


# %%
def move(p, a):
    p.set_attr(a, access=["gpu0"], prefetch="gpu0")


def one_stays(p, a):
    p.pin(a.pages(3))
    move(p, a)


for program in (move, one_stays):
    done = perform(program, "upstream")
    print(*lines_of(done.process), sep="\n")
    print(sl.describe(sl.pagemap(done.process, done.buffer)))

# %% [markdown]
# Both logs speak of 8 pages, and yet one of the second run is in RAM. The size is that of the piece that was to move.
#
# Nor is every event in a log. The driver keeps 1024 bytes for each reader, and drops silently what does not fit. Two lines were dropped between these:

# %%
print(*DROPPED, sep="\n")
print(read_lines(DROPPED).replay())

# %% [markdown]
# ### What you predicted

# %%
compare(mine)

# %% [markdown]
# ## Explain
#
# **A misconception:** "The log shows what happened." It shows what the driver reported. In *What no line tells* two runs whose lines differ in their times alone left different pages in VRAM. Pages that were
# changed or swapped leave no line either: you see the queues stop, and not why.
#
# ### Capture
#
# On a machine with such GPUs and a driver that supports SVM. None of this was run for this notebook.
#
# * **The runtime's log.** Start any program that uses ROCm with `HSA_SVM_PROFILE=run.rocr` in its environment. The file is opened for appending: remove an old one first.
# * **The kernel's lines.** A program asks `/dev/kfd` for a file of each GPU, with the ioctl `AMDKFD_IOC_SMI_EVENTS`. It writes a mask of 8 bytes to it, in which bit n - 1 switches id n
#   on, and reads. A read may end in the middle of a line. It sees its own process; others only with CAP_SYS_ADMIN and bit 63.
# * **The profiler.** `rocprofv3 --kfd-trace` records the same events in its own format, in versions that have the option.
#
# `svmlab trace run.rocr` prints what you saw here; `--replay`, `--why N` and `--plot timeline.png` do the rest. Keep the kernel's version and the topology with a log.
#
# ### Where the model is not the driver
#
# Times come from a cost model: compare orders and counts, not microseconds. What is known to differ stands in `DEVIATIONS.md`, each with a test. If your log shows something
# else, that is worth a report.

# %% [markdown]
# ## Explore
#
# Choose a log that is shipped, or upload one of your own; choose an event, and read what it follows from.

# %% tags=["nbval-ignore-output"]
viewer = TraceViewer()
viewer

# %% [markdown]
# 1. "to-and-fro.smi": no page moves to gpu2, yet its queues stop. At which event, and what does that follow from?
# 2. "first-gpu-fault.smi": no queue stops at all. By which line do you know that xnack was on?
# 3. "lost-lines.smi": a reader was too slow. Which line must be missing before the first event that contradicts what came before?

# %%
viewer.static()

# %% [markdown]
# ## Exercises
#
# Each has three hints; `sl.course.hint("A.1")` prints the first one.
#
# ### A.1 Read the pages
#
# Write a function that returns the first and the last page that a line is about, as numbers, or `None` if it is about none. The check reads every line of two sample logs, and some as other kernels
# write them. About 6 lines.


# %% tags=["stub"]
def pages_of(line):
    raise NotImplementedError


check("A.1", pages_of)


# %% tags=["solution"]
def pages_of(line):
    if "@" not in line:
        return None
    page, size = line.split("@")[1].split(")")[0].split("(")
    npages = 1 if line[0] in "78" else int(size, 16)
    return int(page, 16), int(page, 16) + npages - 1


check("A.1", pages_of)

# %% [markdown] tags=["solution"]
# **Why.** The brackets hold a size in three of the lines and the id of a GPU in the two about faults. The last page belongs to the piece, hence the 1.

# %% [markdown]
# ### A.2 The same log
#
# "From the kernel's lines you can tell which pages are in VRAM." Write two programs whose lines are the same but for their times, and which leave different pages in VRAM. Each gets a process and a buffer of 8
# pages in RAM, as in *What no line tells*. Pinned pages were shown: find another reason.

# %% tags=["stub"]
pair = ...
check("A.2", pair)


# %% tags=["solution"]
def one_in_swap(p, a):
    p.swap_out(a.pages(3))
    move(p, a)


pair = (move, one_in_swap)
check("A.2", pair)

# %% [markdown] tags=["solution"]
# **Why.** A page in swap has no frame that could be collected, as a pinned one has a frame that must not move. Later kernels move what they can collect, and no line speaks of the rest. Nothing reports
# the way to swap either, as no GPU had mapped the page.

# %% [markdown]
# ### A.3 What was dropped?
#
# Two lines of the log in *What no line tells* are missing. Write them, as a list of two texts. There is more than one answer; the check adds your lines and replays the log.

# %% tags=["stub"]
missing = ...
check("A.3", missing)

# %% tags=["solution"]
missing = [
    "5 6000000 -77 @7f0000000(200) 8a3f->0 8a3f:ffffffff 2",
    "6 6300000 -77 @7f0000000(200) 8a3f->0 2 0",
]
check("A.3", missing)

# %% [markdown] tags=["solution"]
# **Why.** The pages left RAM twice, so they came home in between. With trigger 2 that was a touch of the CPU; it could also have been a prefetch, 0. If the kernel had brought home another part
# of them, replay would have been content too: it objects only to what cannot be.

# %% [markdown]
# ## Key points
#
# * A line has an id, a time, a process, and pages, sizes and GPUs in hexadecimal (lines in *Lines*).
# * svmlab adds up, draws and replays a log of the driver or of the runtime (outputs of `sl.read_trace` in *What it adds up to* and *Replay*).
# * Causes are inferred, and said to be (chain in *Why*).
# * Sizes are what was to move, and dropped lines leave no mark (outputs in *What no line tells*).

# %% [markdown]
# ## From model to kernel
#
# | here | in the kernel |
# |---|---|
# | 5 and 6 | `kfd_smi_event_migration_start` (kfd_smi_events.c), `kfd_smi_event_migration_end` (kfd_smi_events.c) |
# | 7 and 8 | `kfd_smi_event_page_fault_start` (kfd_smi_events.c), `kfd_smi_event_page_fault_end` (kfd_smi_events.c) |
# | 9 and a | `kfd_smi_event_queue_eviction` (kfd_smi_events.c), `kfd_smi_event_queue_restore` (kfd_smi_events.c) |
# | b | `kfd_smi_event_unmap_from_gpu` (kfd_smi_events.c) |
# | the file that is read | `kfd_smi_event_open` (kfd_smi_events.c) |
# | no room in it: dropped | `kfd_smi_event_add` (kfd_smi_events.c) |
#
# The events came after the patch of March 2021. So a failed copy, D1 of notebook 11, left no trace at all; today the end of a migration has an error. Before about Linux 6.13 it had none, and
# a migration that collected nothing had no end.
#
# ## From HIP to here
#
# | HIP | in the log |
# |---|---|
# | `hipMemPrefetchAsync` to a GPU, or to the CPU | 5 and 6 with trigger 0 |
# | a kernel that touches memory, xnack on | 7, perhaps 5 and 6 with trigger 1, 8 |
# | the CPU reads what a kernel wrote into VRAM | 5 and 6 with trigger 2 |
#
# The HIP runtime was not examined for this table.

# %% [markdown] tags=["stub"]
# ## Next
#
# This is the end of the course. [The survey](survey.ipynb) asks its questions once more. Answers with reasons are in
# [the version with solutions](solutions/A_the_real_driver.ipynb).

# %% [markdown] tags=["solution"]
# ## Next
#
# This is the end of the course. [The survey](../survey.ipynb) asks its questions once more. Work in
# [the version without solutions](../A_the_real_driver.ipynb).
