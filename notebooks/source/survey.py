# %% [markdown]
# # Before and after: nine questions
#
# Answer these before notebook 00, and once more after the last one. It takes five minutes each time.
#
# Nothing is judged, no name and no time is kept. The answers go to the folder `.svmlab` beside this notebook, or to the one that `SVMLAB_STATE` names; if
# you hand it in, your instructor sees how many of a class hold which view (`svmlab course report`).
#
# Where you do not know, leave the dots. Unless a question says otherwise, attributes have their defaults.

# %% [markdown]
# ## The questions
#
# 1. `homes`: A page was prefetched to a GPU. How many copies of it are there when the call is back?
#    `"one"` · `"two"`
# 2. `overlap`: A call sets one attribute on the first half of a range. What becomes of the range?
#    `"it is replaced"` · `"it is split"`
# 3. `preferred`: A call sets the preferred location of a buffer in RAM to a GPU. Are pages moved by the call?
#    `"yes"` · `"no"`
# 4. `one_byte`: 8 MiB are in VRAM, with default attributes. The CPU reads one byte. How much comes home?
#    `"one page"` · `"2 MiB around it"` · `"all of it"`
# 5. `others`: xnack is off, and a prefetch moves a buffer to gpu0. What of its work on gpu5 meanwhile?
#    `"they go on"` · `"they stand still"`
# 6. `evicted`: The queues of a process are evicted. Does that mean that pages were moved?
#    `"yes"` · `"no"`
# 7. `between_gpus`: A buffer is prefetched from gpu0 to gpu1, in the same hive. How does it get there?
#    `"directly"` · `"through RAM"`
# 8. `unregistered`: xnack is off. A GPU touches memory that no call has registered. What happens?
#    `"it takes a page fault"` · `"it is fatal"`
# 9. `fault_moves`: xnack is on. gpu0 touches one page of a buffer that prefers gpu0. How much is moved?
#    `"one page"` · `"2 MiB around it"` · `"all of it"`

# %%
from svmlab.course import survey

# %% [markdown]
# ## Before the course
#
# Write an answer in place of each `...` and run the cell. If you run it again, the last answers count.

# %%
survey(
    "before",
    homes=...,
    overlap=...,
    preferred=...,
    one_byte=...,
    others=...,
    evicted=...,
    between_gpus=...,
    unregistered=...,
    fault_moves=...,
)

# %% [markdown]
# ## After the course
#
# Come back here after the last notebook, without looking at what you wrote above.

# %%
survey(
    "after",
    homes=...,
    overlap=...,
    preferred=...,
    one_byte=...,
    others=...,
    evicted=...,
    between_gpus=...,
    unregistered=...,
    fault_moves=...,
)
