"""The table of behaviours: every decision point at which versions of the driver differ, and what each preset chooses.

Tags: Pnn is patch nn of the posting, Dn and Xn are defects of it, E is about Linux 5.14, M about 6.7, L newer;
"intended" is what the posting's text and comments promise.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DEFAULT_PRESET", "POSTED", "PRESETS", "SLOTS", "UPSTREAM", "Option", "Slot"]

PRESETS = ("as-posted", "as-intended", "upstream")
DEFAULT_PRESET = "as-intended"
POSTED, UPSTREAM = PRESETS[0], PRESETS[2]
"""The preset that the recorded vectors hold."""


@dataclass(frozen=True, slots=True)
class Option:
    """One thing that can happen at a slot.

    Attributes:
        name: its value in a scenario file.
        tag: the defect (Dn, Xn) or the kernel version it stands for.
        says: what it does, in one sentence.
    """

    name: str
    tag: str
    says: str


@dataclass(frozen=True, slots=True)
class Slot:
    """One decision point.

    Attributes:
        name: its key in a scenario file.
        asks: the question it answers.
        options: what can happen, by name.
        presets: the option of each preset, in the order of ``PRESETS``.
    """

    name: str
    asks: str
    options: dict[str, Option]
    presets: tuple[str, str, str]


def _slot(name: str, asks: str, options: tuple[tuple[str, str, str], ...], presets: tuple[str, str, str]) -> Slot:
    return Slot(name, asks, {given[0]: Option(*given) for given in options}, presets)


# fmt: off
_TABLE = (
    _slot("location_policy", "Where should a range live, by its prefetch location and its accessors?", (
        ("posted", "P18, D21", "With xnack on the prefetch location as it is; off, RAM if an accessor is not near."),
        ("revised", "L", "Accessors count in both modes: with xnack on those in place, with xnack off all."),
    ), ("posted", "posted", "revised")),
    _slot("host_access_gate", "May a range without HOST_ACCESS move to VRAM?", (
        ("gate", "P18, D20, X12", "No: it stays in RAM, silently."),
        ("open", "E", "Yes, the flag does not matter."),
    ), ("gate", "gate", "open")),
    _slot("same_location", "What does a prefetch do to a range that is already there?", (
        ("nothing", "P18", "Nothing."),
        ("leftovers", "M", "It collects the pages that are still in RAM."),
    ), ("nothing", "nothing", "leftovers")),
    _slot("prefetch_home", "What does a prefetch to the CPU do?", (
        ("absent", "P18, D9", "Nothing: the direction does not exist yet."),
        ("present", "P19", "It moves the range to RAM."),
    ), ("present", "present", "present")),
    _slot("validate_first", "Are the RAM pages of a range faulted in before it moves to VRAM?", (
        ("never-validated", "P18, X24", "Only while the driver holds no page array for it."),
        ("swapped", "intended", "Those in swap are brought in, so that every page can be collected."),
        ("no", "M", "No."),
    ), ("never-validated", "swapped", "no")),
    _slot("collect_policy", "What if not all pages of a piece can be collected?", (
        ("four-attempts", "P18, D12, X10", "Four attempts in a row, then ENOMEM."),
        ("partial", "E", "One attempt; what was collected moves."),
    ), ("four-attempts", "four-attempts", "partial")),
    _slot("hole_in_vmas", "What if part of a range is not mapped when it moves to VRAM?", (
        ("stop", "P18, D4, X8", "The walk ends there, without an error."),
        ("refuse", "intended", "EFAULT before anything moves."),
    ), ("stop", "refuse", "stop")),
    _slot("hole_on_the_way_home", "What if part of a range is not mapped when it moves to RAM?", (
        ("stop", "P19, X8", "The walk ends there, without an error."),
        ("refuse", "M", "EFAULT; earlier pieces stay moved."),
    ), ("stop", "refuse", "refuse")),
    _slot("vram_limit", "Is VRAM reserved before a migration begins?", (
        ("none", "P18, D32", "No."),
        ("reserve", "L", "Yes, for the whole range: ENOSPC if it does not fit."),
    ), ("none", "none", "reserve")),
    _slot("vram_alloc", "When is the VRAM buffer of a range allocated?", (
        ("while-copying", "P18", "In the copy step, after the pages were collected."),
        ("first", "M", "Before any page is collected."),
    ), ("while-copying", "while-copying", "first")),
    _slot("vram_pressure", "What if there is not enough free VRAM for a buffer?", (
        ("fail", "P18, X35", "The allocation fails."),
        ("fence", "M", "Eviction fences of earlier buffers are waited for: a worker brings each home."),
        ("evict", "P26", "Earlier buffers are evicted to RAM, whoever owns them."),
    ), ("fail", "evict", "evict")),
    _slot("buffer_reuse", "What if a relative by fork still has pages where pages of a range would go?", (
        ("always", "P15", "They are overwritten: the place of a page in its buffer is fixed."),
        ("if-free", "intended", "The range gets a new buffer."),
    ), ("always", "if-free", "always")),
    _slot("vram_contents", "What does fresh VRAM hold?", (
        ("stale", "P18, D17, X21", "Whatever was there before."),
        ("cleared", "P42", "Zeros."),
    ), ("stale", "cleared", "cleared")),
    _slot("vram_page_zero", "What if a buffer begins at VRAM address 0?", (
        ("error", "P18, D18, X3", "ENOMEM: the address looks like a failure."),
        ("fine", "M", "Nothing special."),
    ), ("error", "fine", "fine")),
    _slot("piece_place", "Where in the buffer does the second VMA of a range go?", (
        ("restart", "P18, D3, X7", "To the start of the range's part, over the first."),
        ("own-place", "M", "To its own place, its distance from the range's start."),
    ), ("restart", "own-place", "own-place")),
    _slot("holes", "What happens to pages nobody touched?", (
        ("as-pages", "P18, D5, X24", "They are treated as pages: nothing is copied into stale VRAM."),
        ("zeroed", "M", "They become zeroed VRAM pages, without a copy."),
    ), ("as-pages", "zeroed", "zeroed")),
    _slot("copy_cleanup", "Which pages are undone when a copy fails?", (
        ("below-index", "P18, D6, X14", "All before the current one, which stays entered at a node boundary."),
        ("all", "L", "All of them."),
    ), ("below-index", "all", "all")),
    _slot("copy_undo", "When are the new pages given back after an error on the way home?", (
        ("at-once", "P19, D15, X15", "While copies that were submitted before may still write them."),
        ("after-copies", "intended", "When the copies that were submitted are done."),
    ), ("at-once", "after-copies", "at-once")),
    _slot("after_copy", "What becomes of an error of the copy step?", (
        ("ignored", "P18, D1, X1, X2", "Nothing: the migration reports success."),
        ("returned", "E", "It is returned once the pages are back."),
    ), ("ignored", "returned", "returned")),
    _slot("fence_error", "What becomes of an error of the copy fence?", (
        ("ignored", "P18, D14, X6", "Nothing: pages switch to whatever was copied."),
        ("returned", "intended", "The pages stay where they were and the error is returned."),
    ), ("ignored", "returned", "ignored")),
    _slot("refused_pages", "What if the metadata step refuses pages, as it does for those of a file?", (
        ("others-move", "P18", "The other pages move."),
        ("all-stay", "intended", "Nothing of the piece moves, and an event says so."),
    ), ("others-move", "all-stay", "others-move")),
    _slot("record_location", "When does a range count as moved to VRAM?", (
        ("claimed", "P18, D7, X5", "Whenever no error was returned."),
        ("counted", "L", "When a page of it really moved."),
    ), ("claimed", "counted", "counted")),
    _slot("later_piece_fails", "What if a later piece of a range fails?", (
        ("mixed", "P18, D8, X9", "Earlier pieces stay in VRAM, the range says RAM."),
        ("come-home", "intended", "Earlier pieces come home first."),
        ("partial", "M", "Earlier pieces stay and count."),
    ), ("mixed", "come-home", "partial")),
    _slot("home_walk", "Which entries does the way home look at?", (
        ("first-entries", "P19, X4", "As many as were collected, from the first; an empty one undoes everything."),
        ("all-entries", "E", "All of them, skipping the empty ones."),
    ), ("first-entries", "all-entries", "all-entries")),
    _slot("location_home", "When does a range that came home count as in RAM?", (
        ("at-once", "P19, X2", "Always; its VRAM is given up."),
        ("when-empty", "M", "When as many pages came home as once left; discarded ones never do."),
        ("none-left", "intended", "When the CPU page table shows no page of it in VRAM."),
    ), ("at-once", "none-left", "when-empty")),
    _slot("buffer_life", "What keeps a VRAM buffer alive?", (
        ("ranges", "P18, D25, X25", "Its ranges alone; a page in it does not count."),
        ("pages", "E", "Its ranges and every page that lives in it."),
    ), ("ranges", "pages", "pages")),
    _slot("buffer_reference", "Does a range that points at a VRAM buffer count as holding a reference to it?", (
        ("pointed-at", "P15, X25", "Yes, even after it came home and gave it back: freed, it gives back another's."),
        ("held", "L", "Only while it has VRAM in it."),
    ), ("pointed-at", "held", "held")),
    _slot("gpu_to_gpu", "How does a range move from one GPU to another?", (
        ("refused", "P18, D11, X11", "Not at all: nothing can be collected, ENOMEM."),
        ("through-ram", "P32", "Home first, then to the other GPU."),
        ("three-passes", "M", "Up to three passes home, EDEADLK if pages remain, then to the other GPU."),
    ), ("refused", "through-ram", "three-passes")),
    _slot("cpu_fault_block", "What does a CPU fault bring home?", (
        ("split-child", "P19, X49", "The granularity block, cut out of the range as a child."),
        ("split", "P38", "The granularity block; the range is trimmed to it, the rest become children."),
        ("no-split", "M", "The granularity block; the range stays whole."),
    ), ("split-child", "split", "no-split")),
    _slot("inherited_page", "What of a page in VRAM that a fork or mremap left where no range knows of it?", (
        ("sigbus", "P19, X36", "SIGBUS for a forked child: its address space is unknown to the driver."),
        ("served", "M", "A child gets it through its parent's range, if that is still there; else SIGBUS."),
        ("kept", "intended", "It comes home, even if its owner has gone."),
    ), ("sigbus", "kept", "served")),
    _slot("map_source", "What do the GPUs' page tables follow?", (
        ("buffer", "P18, X22, X23", "The range's page array or its VRAM buffer, taken as one line of pages."),
        ("page-table", "E", "Page by page what the CPU page table holds."),
    ), ("buffer", "page-table", "page-table")),
    _slot("partly_out_of_reach", "May a GPU map what is in RAM of a range that also has VRAM out of its reach?", (
        ("skipped", "P16", "No: the whole range is skipped, and with xnack on the fault is served for ever."),
        ("mapped", "intended", "Yes, if no page of the part to be mapped is in VRAM."),
    ), ("skipped", "mapped", "skipped")),
    _slot("skipped_gpus", "What of the entries of GPUs that cannot reach where a range went?", (
        ("left", "P16", "They stay, whatever becomes of the frames they name."),
        ("unmapped", "intended", "They are removed."),
    ), ("left", "unmapped", "left")),
    _slot("eviction_filter", "Does an invalidation of a range that no GPU maps stop the queues?", (
        ("every-range", "P11, D13", "Yes."),
        ("mapped-ranges", "M", "No."),
    ), ("every-range", "every-range", "mapped-ranges")),
    _slot("later_invalidation", "Does an invalidation wait for the queues if an earlier one is still stopping them?", (
        ("returns", "P11, X50", "No: it returns, and its pages change while queues may still run."),
        ("waits", "intended", "Yes."),
    ), ("returns", "waits", "returns")),
    _slot("invalid_count", "Whose invalid count does an invalidation raise?", (
        ("owner", "P11, X49", "That of the range whose notifier it is, wherever it changes, and of no child."),
        ("parts", "E", "That of the range and of each child, where it changes."),
        ("mapped-parts", "M", "As parts, but a child counts only if a GPU maps it."),
    ), ("owner", "parts", "mapped-parts")),
    _slot("xnack_on_notifier", "What does the notifier do with xnack on?", (
        ("evict", "P18, D22", "It stops the queues, as with xnack off."),
        ("unmap", "P20", "It unmaps the pages; GPUs fault their way back."),
    ), ("evict", "unmap", "unmap")),
    _slot("map_after_migration", "Who maps a range after its migration?", (
        ("restore-worker", "P18, D22", "The restore worker, in both xnack modes."),
        ("by-mode", "P20", "The restore worker with xnack off; set_attr itself with xnack on."),
        ("if-mapped", "M", "As by-mode, but set_attr also maps what no GPU had mapped."),
    ), ("restore-worker", "by-mode", "if-mapped")),
    _slot("map_without_change", "Does set_attr validate and map a range that did not move?", (
        ("always", "P18", "Always."),
        ("if-needed", "M", "Only if flags changed, or with xnack off the access lists."),
    ), ("always", "always", "if-needed")),
    _slot("map_set", "Which GPUs are mapped with xnack on?", (
        ("accessors", "P10", "All that have access or access in place."),
        ("useful", "P30", "Those in place, the owner of the range, and those that map it already."),
    ), ("accessors", "useful", "useful")),
    _slot("gpu_fault", "What does a GPU touch of an unmapped page do with xnack on?", (
        ("fatal", "P18", "It is a memory exception, as with xnack off."),
        ("served", "L", "The driver serves the fault."),
    ), ("fatal", "served", "served")),
    _slot("stale_faults", "What of a GPU fault that was reported before a munmap and is read after it?", (
        ("fatal", "P22", "It counts: nothing is mapped there any more, which is fatal."),
        ("by-timestamp", "L", "It is dropped: munmap notes the time, and what was reported before is stale."),
    ), ("fatal", "by-timestamp", "by-timestamp")),
    _slot("compare_attributes", "When does a range count as unchanged by set_attr?", (
        ("scratch", "P04, X30", "When prefetch, flags and granularity equal the request's; a missing one counts as 0."),
        ("each", "L", "When every attribute of the request holds already; a prefetch never does."),
    ), ("scratch", "each", "each")),
    _slot("unchanged_overlap", "Is an overhanging range split when its attributes do not change?", (
        ("split", "P04", "Yes."),
        ("leave", "M", "No, if it is mapped."),
    ), ("split", "leave", "leave")),
    _slot("insert_order", "In which order are new ranges and pieces of old ones registered?", (
        ("as-found", "P04", "As the walk over the span finds them, the last one first."),
        ("new-first", "M", "New ranges first, then the pieces, the last one first in both."),
    ), ("as-found", "as-found", "new-first")),
    _slot("remap_leftovers", "Is a piece that set_attr cut off, and that keeps its attributes, mapped again?", (
        ("no", "P04", "No."),
        ("unaligned", "M", "Yes, if the cut is no multiple of the range's granularity."),
        ("huge-pages", "L", "Yes, if the cut may go through a 2 MiB entry of a GPU page table."),
    ), ("no", "no", "huge-pages")),
    _slot("split_state", "What does a cut-off piece inherit of a pending invalidation?", (
        ("lost", "P04, X26", "Nothing: it counts as valid."),
        ("survives", "intended", "The invalid count."),
    ), ("lost", "survives", "survives")),
    _slot("split_requires", "What must a range have to be split?", (
        ("pages", "P04, X28", "A page array or VRAM; else EINVAL."),
        ("nothing", "P43", "Nothing."),
    ), ("pages", "nothing", "nothing")),
    _slot("set_attr_errors", "What does set_attr do after a range failed?", (
        ("stop", "P18, D16, X38", "It stops and returns the error."),
        ("go-on", "M", "It goes on and returns the last error."),
    ), ("stop", "stop", "go-on")),
    _slot("vram_failure", "Is it an error of set_attr that a range could not move to VRAM?", (
        ("error", "P18", "Yes."),
        ("fallback", "L", "No: it stays where it is and is mapped there; the migration's events have the error."),
    ), ("error", "error", "fallback")),
    _slot("range_limit", "How large may a new range be?", (
        ("unlimited", "P04", "As large as the request."),
        ("by-vram", "M", "1/32 of the smallest VRAM, 2 MiB to 1 GiB, cut at multiples of it."),
    ), ("unlimited", "unlimited", "by-vram")),
    _slot("default_access", "Which GPUs have access with xnack on to a new range, and where nothing is registered?", (
        ("none", "P04", "None."),
        ("all", "M", "All of them."),
    ), ("none", "all", "all")),
    _slot("query_policy", "What does get_attr accept and answer?", (
        ("posted", "P05", "No CLR_FLAGS; EINVAL where nothing is mapped; no access by default; munmap may be pending."),
        ("revised", "L", "CLR_FLAGS; EFAULT where nothing is mapped; access by default with xnack on; munmap is done."),
    ), ("posted", "revised", "revised")),
    _slot("old_gpus", "What may a process do that opened a GPU from before GFX9?", (
        ("no-svm", "P03", "Nothing of this: every call answers EPERM."),
        ("left-out", "M", "Everything, but its old GPUs cannot be named: EINVAL."),
    ), ("no-svm", "left-out", "left-out")),
    _slot("wrapping_span", "What does a call answer to a span that reaches the end of the address space?", (
        ("unchecked", "P04", "What it answers where nothing is mapped."),
        ("refused", "L", "EOVERFLOW."),
    ), ("unchecked", "refused", "refused")),
    _slot("unknown_operation", "What does the SVM call answer to an unknown operation?", (
        ("positive", "P04, X30", "A positive EINVAL, which no caller takes for an error."),
        ("negative", "L", "EINVAL."),
    ), ("positive", "negative", "negative")),
    _slot("granularity_limit", "How is a large granularity stored?", (
        ("8-bits", "P04, X30", "Its low 8 bits."),
        ("clamped", "L", "63 at most."),
    ), ("8-bits", "clamped", "clamped")),
    _slot("ram_limit", "Does a range reserve system memory with xnack off?", (
        ("none", "P04", "No."),
        ("reserve", "M", "Yes, its whole size: ENOMEM beyond 15/16 of RAM."),
    ), ("none", "reserve", "reserve")),
    _slot("lost_access", "What happens to the mappings of a GPU that lost access?", (
        ("kept", "P04, X31", "They stay."),
        ("unmapped", "intended", "They are removed."),
        ("unmapped-and-done", "L", "They are removed; a range that no GPU maps then is neither moved nor mapped."),
    ), ("kept", "unmapped", "unmapped-and-done")),
    _slot("unmap_scope", "Which mappings does a munmap remove?", (
        ("interval", "P10, X31", "The whole interval from the GPUs that have access now."),
        ("parts", "P44", "The part of each range and child from the GPUs that map it."),
    ), ("interval", "parts", "parts")),
    _slot("restore_count", "Which eviction count does the restore worker expect at its end?", (
        ("before-locks", "P18, X34", "The one it read before it waited for its locks."),
        ("under-locks", "P36", "The one it read with its locks held."),
    ), ("before-locks", "under-locks", "under-locks")),
)
# fmt: on

SLOTS: dict[str, Slot] = {slot.name: slot for slot in _TABLE}
"""Every slot, by name, in the order of a migration's life."""
