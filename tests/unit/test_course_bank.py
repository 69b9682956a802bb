"""Each check accepts its solution and right answers written otherwise, and rejects wrong ones, in words."""

import re
import time
from itertools import pairwise

import pytest

from svmlab.course import bank, check, hint
from svmlab.course.capstone import model_plan
from svmlab.course.check import verdict
from svmlab.course.exercise import Exercise, Kind, Miss
from svmlab.errors import InputError


def right_pages(address, nbytes):
    return address >> 12, (address + nbytes - 1) >> 12


def four_fates(p, a):
    p.set_attr(a.pages(0), access=["gpu0"], prefetch="gpu0")
    p.set_attr(a.pages(1), access=["gpu0"])
    p.cpu_write(a.pages(2), 7)


def four_fates_in_another_order(p, a):
    p.cpu_touch(a.pages(2), write=True)
    p.set_attr(a.pages(0, 2), access_in_place=["gpu0"])
    p.set_attr(a.pages(0), prefetch="gpu0")


def ranges_between_edges(old, new):
    edges = sorted({old[0], old[1] + 1, new[0], new[1] + 1})
    pieces = [(first, end - 1) for first, end in pairwise(edges)]
    return [piece for piece in pieces if any(span[0] <= piece[0] <= span[1] for span in (old, new))]


def ranges_page_by_page(old, new):
    found = []
    for page in range(min(old[0], new[0]), max(old[1], new[1]) + 1):
        here = tuple(span[0] <= page <= span[1] for span in (old, new))
        if any(here) and found and found[-1][1] == page - 1 and found[-1][2] == here and page not in (old[0], new[0]):
            found[-1][1] = page
        elif any(here):
            found.append([page, page, here])
    return tuple([first, last] for first, last, _ in found)


def one_union(old, new):
    return [(min(old[0], new[0]), max(old[1], new[1]))]


def old_replaced_by_new(old, new):
    return [piece for piece in ((old[0], new[0] - 1), new, (new[1] + 1, old[1])) if piece[0] <= piece[1]]


def ends_off_by_one(old, new):
    edges = sorted({*old, *new})
    return list(pairwise(edges)) if len(edges) > 1 else [(edges[0], edges[0])]


def gaps_between_kept(old, new):
    edges = sorted({old[0], old[1] + 1, new[0], new[1] + 1})
    return [(first, end - 1) for first, end in pairwise(edges)]


def best_by_sets(xnack, prefetch, users, hives):
    if xnack or prefetch in (None, "cpu"):
        return prefetch
    near = set().union({prefetch}, *(hive for hive in hives if prefetch in hive))
    return prefetch if users <= near else "cpu"


def best_rule_by_rule(xnack, prefetch, users, hives):
    if not xnack and prefetch is not None and prefetch != "cpu":
        for user in users:
            if user != prefetch and not any(user in hive and prefetch in hive for hive in hives):
                return "cpu"
    return prefetch


def best_without_xnack(_xnack, prefetch, users, hives):
    return best_by_sets(False, prefetch, users, hives)


def best_where_a_gpu_is_far_from_itself(xnack, prefetch, users, hives):
    if xnack or prefetch in (None, "cpu"):
        return prefetch
    return prefetch if any(prefetch in hive and users <= hive for hive in hives) else "cpu"


def best_with_one_near_user(xnack, prefetch, users, hives):
    if xnack or prefetch in (None, "cpu") or not users:
        return prefetch
    near = set().union({prefetch}, *(hive for hive in hives if prefetch in hive))
    return prefetch if users & near else "cpu"


def best_for_users_alone(xnack, prefetch, users, hives):
    found = best_by_sets(xnack, prefetch, users, hives)
    return found if xnack or prefetch in (None, "cpu") or prefetch in users else "cpu"


def best_if_all_users_share_a_hive(xnack, prefetch, users, hives):
    if xnack or prefetch in (None, "cpu") or users <= {prefetch}:
        return prefetch
    return prefetch if any(users <= hive for hive in hives) else "cpu"


def states(**changed):
    """The table of 04.1, with some steps told otherwise: ``_3=(...)``."""
    told = {
        1: ("migration", "locked", "free"),
        2: ("migration", "locked", "held"),
        3: ("migration", "locked", "locked"),
        4: ("migration", "locked", "locked"),
        5: ("device", "free", "in use"),
        6: ("device", "free", "in use"),
    }
    return told | {int(step[1:]): words for step, words in changed.items()}


def windows_one_by_one(nodes):
    return sum(len(range(0, npages, 512)) for npages in nodes)


def pin_one(p, a):
    p.pin(a.pages(0))


def unpin_one(p, a):
    p.unpin(a.pages(0))


def pin_all(p, a):
    p.pin(a)


def unpin_all(p, a):
    p.unpin(a)


def little_vram(p, _a):
    p.vram_layout("gpu0", [(1, 1000)])


def much_vram(p, _a):
    p.vram_layout("gpu0", [(1, 1000), (2048, 1000)])


def faults_by_blocks(touched, granularity, ranges):
    owner = {page: at for at, (first, last) in enumerate(ranges) for page in range(first, last + 1)}
    return len({(owner[page], page // 2**granularity) for page in touched})


def faults_by_entries(touched, granularity, ranges):
    size, mapped, count = 1 << granularity, set(), 0
    for page in touched:
        if page not in mapped:
            (own,) = (span for span in ranges if span[0] <= page <= span[1])
            block = range(page // size * size, page // size * size + size)
            mapped |= set(block) & set(range(own[0], own[1] + 1))
            count += 1
    return count


def faults_from_the_start_of_the_range(touched, granularity, ranges):
    return len(
        {(at, page - a >> granularity) for page in touched for at, (a, b) in enumerate(ranges) if a <= page <= b}
    )


def faults_at_each_change(touched, granularity, _ranges):
    blocks = [page >> granularity for page in touched]
    return 1 + sum(a != b for a, b in pairwise(blocks))


def throw_away(p, a):
    p.discard(a.pages(0))
    p.pin(a.pages(0))


def block_by_bits(page, start, last, granularity):
    first = page >> granularity << granularity
    return [first if first > start else start, min(first + (1 << granularity) - 1, last)]


def block_of_the_buffer(page, start, last, granularity):
    size = 2**granularity
    first = start + (page - start) // size * size
    return first, min(first + size - 1, last)


def block_unclipped(page, _start, _last, granularity):
    size = 2**granularity
    return page // size * size, page // size * size + size - 1


def block_clipped_behind(page, _start, last, granularity):
    size = 2**granularity
    return page // size * size, min(page // size * size + size - 1, last)


def block_one_too_long(page, start, last, granularity):
    size = 2**granularity
    return max(page // size * size, start), min(page // size * size + size, last)


def second_pass_by_order(invalid, at, hit):
    if hit > at:
        return []
    return [name for name in invalid if name >= at] if hit == at else [hit]


def second_pass_by_counts(invalid, at, hit):
    counts = {name: int(name in invalid) for name in "abcd"}
    for name in "abcd":
        seen = counts[name] + (name == hit and hit > at)
        counts[name] = seen
        if name == at:
            counts[hit] += hit <= at
        if counts[name] != seen:
            break
        counts[name] = 0
    return [name for name in "abcd" if counts[name]]


SLOW = "main: swap_out until before the queues stop"


def stop_by_two_hits(p, a):
    p.start.swap_out(a.pages(0))
    p.advance("1110 us")
    p.start.swap_out(a.pages(1))
    p.advance("1060 us")
    p.start.swap_out(a.pages(2))


def stop_by_a_page_each_20_us(p, a):
    for page in range(200):
        p.start.swap_out(a.pages(page))
        p.advance("20 us")


def stop_by_one_hit(p, a):
    p.start.swap_out(a.pages(0))
    p.advance("1110 us")
    p.start.swap_out(a.pages(1))


def stop_before_the_worker(p, a):
    for page in range(8):
        p.start.swap_out(a.pages(page))
        p.advance("100 us")


def stop_three_times(p, a):
    for page in range(3):
        p.mprotect(a.pages(page), "r")
        p.run()


def stop_by_moves(p, a):
    for place in ("gpu0", "cpu", "gpu0"):
        p.set_attr(a, prefetch=place)


def moved_and_faulted(**changed):
    """The table of 06.1, with some lines told otherwise: ``C=(0, 2)``."""
    told = {"A": (0, 2), "B": (1024, 0), "C": (0, 4), "D": (0, 0), "E": (1024, 0), "F": (1024, 0), "G": (0, 2)}
    return told | changed


def work(p, a, b):
    """What gpu0 and the CPU do in 06.2."""
    p.gpu(0).read(a)
    p.gpu(0).write(b, 1)
    p.cpu_read(b)


def early_for_both(p, a, b):
    for buffer in (a, b):
        p.set_attr(buffer, access=["gpu0"], prefetch="gpu0")
    work(p, a, b)


def early_and_in_place(p, a, b):
    p.set_attr(a, access="gpu0", prefetch="gpu0")
    p.set_attr(b, access_in_place="gpu0")
    work(p, a, b)


def early_and_sent_home(p, a, b):
    p.set_attr(a, access=["gpu0"], prefetch="gpu0")
    p.gpu_read("gpu0", a.pages(0, a.npages))
    p.set_attr(b, access=["gpu0"], prefetch="gpu0")
    p.run()
    p.gpu_write("gpu0", b, 1)
    p.set_attr(b, prefetch="cpu")


def preferred_for_both(p, a, b):
    for buffer in (a, b):
        p.set_attr(buffer, access=["gpu0"], preferred="gpu0")
    work(p, a, b)


def early_without_access(p, a, b):
    for buffer in (a, b):
        p.set_attr(buffer, prefetch="gpu0")
    work(p, a, b)


def early_for_a_alone(p, a, b):
    p.set_attr(a, access=["gpu0"], prefetch="gpu0")
    work(p, a, b)


def all_in_place(p, a, b):
    for buffer in (a, b):
        p.set_attr(buffer, access_in_place=["gpu0"])
    work(p, a, b)


def never_home(p, a, b):
    for buffer in (a, b):
        p.set_attr(buffer, access=["gpu0"], prefetch="gpu0")
    p.gpu(0).read(a)
    p.gpu(0).write(b, 1)


def work_left_out(p, a, b):
    p.set_attr(a, access=["gpu0"], prefetch="gpu0")
    p.cpu_write(b, 1)


def unfinished(*_):
    return None


def leavers_by_arrival(room, reads):
    inside, left = [], []
    for name in reads:
        if name not in inside:
            left += [inside.pop(0)] if len(inside) == room else []
            inside.append(name)
    return left


def leavers_by_time_of_arrival(room, reads):
    arrived, left = {}, []
    for time_, name in enumerate(reads):
        if name not in arrived:
            arrived[name] = time_
        if len(arrived) > room:
            oldest = min(arrived, key=arrived.get)
            del arrived[oldest]
            left.append(oldest)
    return tuple(left)


def leavers_by_use(room, reads):
    inside, left = [], []
    for name in reads:
        if name in inside:
            inside.remove(name)
        elif len(inside) == room:
            left.append(inside.pop(0))
        inside.append(name)
    return left


def newest_leaves(room, reads):
    inside, left = [], []
    for name in reads:
        if name not in inside:
            left += [inside.pop()] if len(inside) == room else []
            inside.append(name)
    return left


def nobody_leaves(_room, _reads):
    return []


def price(piece):
    return piece.npages * piece.touches, piece.npages * (2 + piece.after if piece.read_by_cpu else 1)


def price_by_rounds(piece):
    there_and_home = 1 + piece.read_by_cpu + (piece.after if piece.read_by_cpu else 0)
    return tuple(piece.npages * times for times in (piece.touches, there_and_home))


def placed(choose, *, near=True, moves=lambda piece: price(piece)[1] < price(piece)[0], access=None):
    """A planner: which GPU of the hive, which pieces move, who gets access."""

    def place(work):
        free = {gpu: work.vram_pages for hive in work.hives for gpu in hive}
        plan = []
        for piece in sorted(work.pieces(), key=lambda piece: -piece.npages):
            asked = {"access": access or piece.gpus}
            hive = next(hive for hive in work.hives if piece.gpus[0] in hive)
            if moves(piece) and set(piece.gpus) <= set(hive):
                asked["prefetch"] = choose(piece, hive, free)
                free[asked["prefetch"]] -= piece.npages
            plan.append((piece.buffer, piece.first, piece.last, asked))
        return plan

    return place


def first_that_fits(piece, hive, free):
    return next(gpu for gpu in hive if free[gpu] >= piece.npages)


def first_user(piece, hive, free):
    return piece.gpus[0]


def whole_buffers(work):
    users = {name: sorted({g for p in work.pieces() if p.buffer == name for g in p.gpus}) for name in work.buffers}
    return [(name, 0, npages - 1, {"access": users[name]}) for name, npages in work.buffers.items()]


def loses_access(p, a):
    p.set_attr(a, access=["gpu0"])
    p.set_attr(a, no_access=["gpu0"])
    p.munmap(a.pages(0))


def is_only_in_place_then_nothing(p, a):
    p.set_attr(a.pages(8, 8), access_in_place=["gpu1", "gpu2"])
    p.run()
    p.set_attr(a, no_access=["gpu2"])
    p.munmap(a)


def pages_held_by_set(events):
    inside, after = set(range(16)), []
    for _, first, last in events:
        inside -= set(range(first, last + 1))
        after.append(16 if inside else 0)
    return after


def pages_held_by_counting(events):
    gone, after = [False] * 16, []
    for _what, first, last in events:
        for page in range(first, last + 1):
            gone[page] = True
        after.append(16 * (not all(gone)))
    return tuple(after)


def lose_at_a_boundary(p, a):
    p.vram_layout("gpu0", [[16, 4], [32, 4]])
    p.inject("copy")
    p.set_attr(a, access=["gpu0"], prefetch="gpu0")


def lose_at_the_second_boundary(p, a):
    p.vram_layout("gpu0", [[16, 2], [32, 2], [64, 4]])
    p.inject("copy", nth=2)
    p.set_attr(a, prefetch="gpu0")


def lose_at_the_end(p, a):
    p.inject("copy")
    p.set_attr(a, access=["gpu0"], prefetch="gpu0")


def lose_by_a_fence(p, a):
    p.inject("fence")
    p.set_attr(a, access=["gpu0"], prefetch="gpu0")


MENDED = {
    "after_copy": "returned",
    "piece_place": "own-place",
    "copy_cleanup": "all",
    "fence_error": "returned",
    "record_location": "counted",
    "later_piece_fails": "come-home",
}
STEPS = {"A": 13, "B": 7, "C": 9, "D": 16, "E": 5}


def pages_of_a_line(line):
    if "@" not in line:
        return None
    page, size = line.split("@")[1].split(")")[0].split("(")
    npages = 1 if line[0] in "78" else int(size, 16)
    return int(page, 16), int(page, 16) + npages - 1


def pages_by_expression(line):
    found = re.search(r"@([0-9a-f]+)\(([0-9a-f]+)\)", line)
    more = 0 if found is None or line.startswith(("7 ", "8 ")) else int(found[2], 16) - 1
    return (int(found[1], 16), int(found[1], 16) + more) if found else None


def moves(p, a):
    p.set_attr(a, access=["gpu0"], prefetch="gpu0")


def moves_all_but_swapped(p, a):
    p.swap_out(a.pages(3, 2))
    moves(p, a)


def moves_all_but_pinned(p, a):
    p.pin(a.pages(3))
    moves(p, a)


HOME = ("5 6000000 -77 @7f0000000(200) 8a3f->0 8a3f:ffffffff 2", "6 6300000 -77 @7f0000000(200) 8a3f->0 2 0")


RIGHT = {
    "00.w1": [64, "64", "0x40", 64.0],
    "00.w2": [5, "0x5", 0x5003 // 4096],
    "00.1": ["DEAFCB", "d e a f c b", ["D", "E", "A", "F", "C", "B"], ("DEA", "FCB"), "D, E, A, F, C, B"],
    "00.2": [
        {"access": ["gpu0"], "prefetch": "cpu"},
        {"prefetch": "cpu", "access": "gpu0"},
        {"access": ["gpu0"]},
        {"access_in_place": ["gpu0"]},
        {"access": ["gpu0"], "preferred": "cpu"},
        {"access": ["gpu0"], "prefetch": "gpu0", "clear_flags": ["host_access"]},
    ],
    "01.w1": ["evicted", "Evicted"],
    "01.w2": [512, "0x200"],
    "01.1": [right_pages, lambda address, nbytes: (address // 4096, (address + nbytes - 1) // 4096)],
    "01.2": [
        {"access": ["gpu0", "gpu1"], "prefetch": "gpu0"},
        {"access": ["gpu0"], "access_in_place": ["gpu1"], "prefetch": "gpu0"},
    ],
    "01.3": [four_fates, four_fates_in_another_order],
    "02.w1": [4, "4"],
    "02.w2": ["mapped", " Mapped"],
    "02.1": ["DFGBAC", "d, f, g, b, a, c", ["D", "F", "G", "B", "A", "C"]],
    "02.2": [ranges_between_edges, ranges_page_by_page],
    "02.3": [
        [(0, 7, {"access": ["gpu0"]}), (8, 15, {"access_in_place": ["gpu0"]})],
        [(0, 15, {"access": ["gpu0", "gpu5"]}), [3, 3, {"access_in_place": "gpu0"}]],
        ((0, 15, {"access_in_place": ["gpu0"]}), (15, 15, {"access": ["gpu0"], "prefetch": "gpu0"})),
    ],
    "03.w1": [0, "0", "0x0"],
    "03.w2": [3, "3"],
    "03.1": ["54512135", 54512135, "5 4 5 1 2 1 3 5", [5, 4, 5, 1, 2, 1, 3, 5], "5, 4, 5, 1, 2, 1, 3, 5"],
    "03.2": [
        {"machine": "pcie-pair", "access": ["gpu1"]},
        {"machine": "mi210-two-hives", "access": ["gpu6"]},
        {"machine": "mi210-two-hives", "access_in_place": ["gpu4"]},
        {"access": ["gpu1"], "access_in_place": [], "machine": "pcie-pair"},
    ],
    "03.3": [best_by_sets, best_rule_by_rule],
    "04.w1": ["RAM", "ram "],
    "04.w2": ["a device page", "A device page"],
    "04.1": [
        states(),
        {step: [f"a {cpu} entry", *pages] for step, (cpu, *pages) in states().items()},
        {step: ("a device page" if step > 4 else cpu, *pages) for step, (cpu, *pages) in states().items()},
    ],
    "04.2": [
        lambda nodes: sum(-(-npages // 512) for npages in nodes),
        lambda nodes: sum((npages - 1) // 512 + 1 for npages in nodes),
        windows_one_by_one,
    ],
    "04.3": [(pin_one, unpin_one), [pin_all, unpin_all], (little_vram, much_vram)],
    "05.w1": [1024, "0x400"],
    "05.w2": [3, "3"],
    "05.1": [
        lambda page, start, last, granularity: (
            max(page // 2**granularity * 2**granularity, start),
            min((page // 2**granularity + 1) * 2**granularity - 1, last),
        ),
        block_by_bits,
    ],
    "05.2": [
        {"access": ["gpu0"], "preferred": "cpu"},
        {"access_in_place": ["gpu0"]},
        {"preferred": "cpu"},
        {"access_in_place": "gpu0", "prefetch": "gpu0"},
    ],
    "05.3": [(5, 0, 3), [8, 6, 0], (2, 0, 4)],
    "06.w1": [512, "512", 2**9],
    "06.w2": [3, "3"],
    "06.1": [moved_and_faulted(), {line: list(told) for line, told in moved_and_faulted().items()}],
    "06.2": [early_for_both, early_and_in_place, early_and_sent_home],
    "06.3": [{0: 38, 4: 52, 9: 517}, {9: 517, 4: 52, 0: 38, 3: 7}],
    "07.w1": [6, "6"],
    "07.w2": [0, "0"],
    "07.1": ["HEBFIAC", "h, e, b, f, i, a, c", ["H", "E", "B", "F", "I", "A", "C"]],
    "07.2": [second_pass_by_order, second_pass_by_counts],
    "07.3": [stop_by_two_hits, stop_by_a_page_each_20_us],
    "07.4": [
        (2, [SLOW, "main: swap_out #2 until its end", "main: gpu_write until its end"]),
        (2, (SLOW, "main: swap_out #2 until its end", "main: gpu_write until its end", "main: swap_out until its end")),
    ],
    "08.w1": ["it is fatal", "It is fatal "],
    "08.w2": ["gpu1", " GPU1"],
    "08.1": ["FHCEDIBGAJ", "f h c e d i b g a j", list("FHCEDIBGAJ"), "F, H, C, E, D, I, B, G, A, J"],
    "08.2": [faults_by_blocks, faults_by_entries],
    "08.3": [
        {"stream": 10, "scatter": 3, "tile": 6},
        {"stream": 12, "scatter": 0, "tile": 6},
    ],
    "09.w1": [2, "2"],
    "09.w2": ["all of its process", " All of its process"],
    "09.1": [leavers_by_arrival, leavers_by_time_of_arrival],
    "09.2": [
        {5: "fedcba", 4: "fedcba", 3: "fedcba"},
        {5: "bcdefa", 4: "cdefab", 3: list("defabc")},
        {5: "bacdef", 4: "cdefba", 3: ("d", "e", "f", "c", "b", "a")},
    ],
    "09.3": [("abcdabeabcde", 3), ["fecdfebfecdb", 3]],
    "10.w1": [0, "0"],
    "10.w2": [2, 2.0],
    "10.1": ["CGBEHAF", "c g b e h a f", list("CGBEHAF")],
    "10.2": [(1, loses_access), [1, is_only_in_place_then_nothing]],
    "10.3": [pages_held_by_set, pages_held_by_counting],
    "11.w1": [5, "5"],
    "11.w2": ["the restore worker", "The restore worker "],
    "11.1": [STEPS, STEPS | {"B": 15, "C": 10}],
    "11.2": [lose_at_a_boundary, lose_at_the_second_boundary],
    "11.3": [MENDED, dict(reversed(MENDED.items()))],
    "12.w1": ["RAM", " ram"],
    "12.w2": [200, "200"],
    "12.1": [price, price_by_rounds],
    "12.2": [(7, 0), [7, 1]],
    "12.3": [model_plan, placed(first_that_fits), lambda work: reversed(model_plan(work))],
    "A.w1": [512, "0x200"],
    "A.w2": ["the queues stop", "The queues stop "],
    "A.1": [pages_of_a_line, pages_by_expression],
    "A.2": [(moves, moves_all_but_swapped), [moves_all_but_swapped, moves]],
    "A.3": [list(HOME), [line.replace("8a3f:ffffffff 2", "0:0 0").replace("0 2 0", "0 0 0") for line in HOME]],
}
WRONG = {
    "00.w1": [63, 256, 65536, 64.5, None, "many"],
    "00.w2": [0x5003, 4, 6, 20483, "0x5003"],
    "00.1": ["DEAFBC", "DEFACB", "DAEFCB", "DEAFC", "GDEAFCB", "DEAFCBG", "DEAFCBB", "DEAFCX", "", 7, []],
    "00.2": [
        {"access": ["gpu0"], "prefetch": "gpu0"},
        {"access_in_place": ["gpu0"], "prefetch": "gpu0"},
        {"prefetch": "cpu"},
        {"preferred": "cpu"},
        {},
        {"access": ["gpu0"], "prefetch": "ram"},
        {"acces": ["gpu0"]},
        {"access": ["gpu9"]},
        {1: 2},
        "cpu",
    ],
    "01.w1": ["running", "dead", None],
    "01.w2": [1, 1024, "all"],
    "01.1": [
        lambda address, nbytes: (address // 4096, (address + nbytes) // 4096),
        lambda address, nbytes: (address // 4096, address // 4096 + nbytes // 4096),
        lambda address, nbytes: (address // 4096, address // 4096 + (nbytes - 1) // 4096),
        lambda address, nbytes: (address / 4096, (address + nbytes - 1) / 4096),
        lambda address: (address, address),
        unfinished,
        (0, 1),
    ],
    "01.2": [
        {"access": ["gpu0"], "prefetch": "gpu0"},
        {"access": ["gpu0", "gpu1"]},
        {"access": ["gpu0", "gpu1"], "prefetch": "gpu1"},
        {"access": ["gpu1"], "prefetch": "gpu0"},
        {"access": ["gpu0", "gpu1"], "prefetch": "cpu"},
        ["gpu0", "gpu1"],
    ],
    "01.3": [
        unfinished,
        lambda p, a: p.set_attr(a, access=["gpu0"]),
        lambda p, a: p.set_attr(a.pages(0), access=["gpu0"], prefetch="gpu0"),
        lambda p, a: (four_fates(p, a), p.cpu_read(a)),
        lambda p, a: (four_fates(p, a), p.cpu_read(a.pages(0))),
        lambda p, a: p.set_attr(a.pages(9), access=["gpu0"]),
        7,
    ],
    "02.w1": [3, 5, "seven"],
    "02.w2": ["accessible", "both", None],
    "02.1": ["DFGBA", "DFGABC", "DFBGAC", "FDGBAC", "DFGBACE", "DFGBEAC", "DFGBCA", ""],
    "02.2": [
        one_union,
        old_replaced_by_new,
        ends_off_by_one,
        gaps_between_kept,
        lambda old, new: [old, new],
        unfinished,
        7,
    ],
    "02.3": [
        [],
        [(0, 15, {"access": ["gpu0"]})],
        [(0, 7, {"access": ["gpu0"]})],
        [(0, 7, {"access": ["gpu0"]}), (8, 15, {"access": ["gpu1"]})],
        [(0, 7, {"access": ["gpu0"]}), (8, 15, {"no_access": ["gpu0"]})],
        [(0, 16, {"access": ["gpu0"]})],
        [(0, 7, {"acess": ["gpu0"]})],
        [(0, 7, {1: 2})],
        [(0, 7)],
        {"access": ["gpu0"]},
    ],
    "03.w1": [8, 1, "none"],
    "03.w2": [1, 2, 4],
    "03.1": [
        "55512135",
        "54412135",
        "54542135",
        "54512535",
        "54512235",
        "54514135",
        "54512145",
        "54512134",
        "5451213",
        "545121355",
        "54512136",
        "ABCDEFGH",
        "",
        None,
    ],
    "03.2": [
        {"machine": "mi210-two-hives", "access": ["gpu0", "gpu4"]},
        {"machine": "pcie-pair", "access": ["gpu0", "gpu1"]},
        {"machine": "mi210-two-hives", "access": ["gpu1"]},
        {"machine": "mi300x-8", "access": ["gpu7"]},
        {"machine": "pcie-pair", "access": []},
        {"machine": "pcie-pair"},
        {"machine": "pcie-pair", "access": ["gpu4"]},
        {"machine": "pcie-pair", "access": ["gpu1"], "prefetch": "cpu"},
        {"machine": "mi210", "access": ["gpu4"]},
        {"access": ["gpu4"]},
        "pcie-pair",
    ],
    "03.3": [
        best_without_xnack,
        best_where_a_gpu_is_far_from_itself,
        best_with_one_near_user,
        best_for_users_alone,
        best_if_all_users_share_a_hive,
        lambda xnack, prefetch, users, hives: prefetch,
        lambda xnack, prefetch, users, hives: "cpu" if len(users) > 1 else prefetch,
        lambda xnack, prefetch, users: prefetch,
        unfinished,
        "cpu",
    ],
    "04.w1": ["VRAM of gpu0", "gpu0", None],
    "04.w2": ["nothing", "a frame", "V0", 0],
    "04.1": [
        states(_1=("frame", "in use", "free")),
        states(_2=("migration", "locked", "locked")),
        states(_3=("migration", "locked", "in use")),
        states(_4=("device", "free", "in use")),
        states(_5=("migration", "free", "in use")),
        states(_5=("device", "in use", "in use")),
        states(_6=("device", "free", "held")),
        states(_5=("device", "free")),
        {},
        "migration",
    ],
    "04.2": [
        lambda nodes: (sum(nodes) + 511) // 512,
        len,
        lambda nodes: sum(npages // 512 + 1 for npages in nodes),
        lambda nodes: sum(npages / 512 for npages in nodes),
        lambda nodes: sum(max(1, npages // 512) for npages in nodes),
        unfinished,
        4,
    ],
    "04.3": [
        (unfinished, unfinished),
        (pin_one, unfinished),
        (unpin_one, pin_one),
        (lambda p, a: p.inject("copy"), unfinished),
        (lambda p, a: p.inject("page_lock"), unfinished),
        (throw_away, unpin_one),
        (lambda p, a: p.munmap(a), unfinished),
        pin_one,
    ],
    "05.w1": [1023, 2, 512, 788],
    "05.w2": [2, 4, 1],
    "05.1": [
        block_of_the_buffer,
        block_unclipped,
        block_clipped_behind,
        block_one_too_long,
        lambda page, start, last, granularity: (page, min(page + 2**granularity - 1, last)),
        lambda page, start, last, granularity: (start, last),
        unfinished,
        (0, 511),
    ],
    "05.2": [
        {"access": ["gpu0"]},
        {"access": ["gpu0"], "granularity": 0},
        {"access": ["gpu0"], "prefetch": "gpu0"},
        {"access": ["gpu0"], "prefetch": "cpu"},
        {"access": ["gpu0"], "preferred": "gpu0"},
        {"no_access": ["gpu0"]},
        {"access": ["gpu0"], "prefered": "cpu"},
        {},
        "cpu",
    ],
    "05.3": [(8, 0, 9), (1, 0, 9), (8, 0, 3), (48, 0, 9), (8, 4, 9), (5, 3, 3), (0, 0, 9), (5, 0), (5, 0, 63), "5"],
    "06.w1": [1, 1024, "all"],
    "06.w2": [1, 2, 4, 2.5],
    "06.1": [
        moved_and_faulted(A=(512, 1)),
        moved_and_faulted(A=(1024, 0)),
        moved_and_faulted(B=(1024, 2)),
        moved_and_faulted(C=(0, 2)),
        moved_and_faulted(D=(0, 2)),
        moved_and_faulted(E=(0, 0)),
        moved_and_faulted(F=(1024, 2)),
        moved_and_faulted(F=(0, 2)),
        moved_and_faulted(G=(1024, 0)),
        moved_and_faulted(G=0),
        {"A": (0, 2)},
        "A",
    ],
    "06.2": [
        preferred_for_both,
        early_without_access,
        early_for_a_alone,
        all_in_place,
        never_home,
        work_left_out,
        work,
        lambda p, a, b: p.set_attr(a, prefetch="vram"),
        lambda p, a: None,
        7,
    ],
    "06.3": [
        {0: 1, 4: 16, 9: 512},
        {0: 37, 4: 51, 9: 516},
        {0: 37, 4: 52, 9: 517},
        {0: 38, 4: 52, 9: 548},
        {0: 38, 4: 53, 9: 517},
        {0: 38, 4: 52},
        {0: 38.5, 4: 52, 9: 517},
        [38, 52, 517],
    ],
    "07.w1": [5, 1, "restore"],
    "07.w2": [8, 1, "all"],
    "07.1": ["EHBFIAC", "HEBIFAC", "HEBFAIC", "HEBFIC", "HEGBFIAC", "HDEBFIAC", "HEBFIACB", "HBEFIAC", "", None],
    "07.2": [
        lambda invalid, at, hit: [hit],
        lambda invalid, at, hit: invalid,
        lambda invalid, at, hit: [],
        lambda invalid, at, hit: [hit] if hit <= at else [],
        lambda invalid, at, hit: [name for name in invalid if name >= at] if hit <= at else [],
        lambda invalid, at, hit: [name for name in "abcd" if name >= at] if hit == at else [hit] if hit < at else [],
        lambda invalid, at, hit: [at] if hit == at else [hit] if hit < at else [],
        lambda invalid, at: [at],
        unfinished,
        "a",
    ],
    "07.3": [
        stop_by_one_hit,
        stop_before_the_worker,
        stop_three_times,
        stop_by_moves,
        lambda p, a: p.swap_out(a.pages(600)),
        lambda p: p.run(),
        unfinished,
        3,
    ],
    "07.4": [
        (1, [SLOW, "main: swap_out #2 until its end", "main: gpu_write until its end"]),
        (2, [SLOW, "main: gpu_write until its end"]),
        (2, ["main: swap_out until its end", "main: swap_out #2 until its end", "main: gpu_write until it waits"]),
        (2, ["main: swap_out #2 until its end", SLOW]),
        (2, ["swap_out"]),
        (2, []),
        2,
        (..., []),
    ],
    "08.w1": ["it waits", "it is served", None],
    "08.w2": ["RAM", "gpu0", "gpu4"],
    "08.1": [
        "FHCDEIBGAJ",
        "FCHEDIBGAJ",
        "FHCEDIBAGJ",
        "FHCEIDBGAJ",
        "FHCEDBIGAJ",
        "FKHCEDIBGAJ",
        "FHCEDIBGLJ",
        "FHCEDIBGA",
        "FHCEDIBGAJJ",
        "",
        7,
    ],
    "08.2": [
        lambda touched, granularity, ranges: len(touched),
        lambda touched, granularity, ranges: len(set(touched)),
        lambda touched, granularity, ranges: len({page >> granularity for page in touched}),
        lambda touched, granularity, ranges: (max(touched) >> granularity) - (min(touched) >> granularity) + 1,
        faults_from_the_start_of_the_range,
        faults_at_each_change,
        lambda touched: 1,
        unfinished,
        3,
    ],
    "08.3": [
        {"stream": 9, "scatter": 3, "tile": 6},
        {"stream": 10, "scatter": 4, "tile": 6},
        {"stream": 10, "scatter": 3, "tile": 4},
        {"stream": 10, "scatter": 3, "tile": 5},
        {"stream": 10, "scatter": 3, "tile": 7},
        {"stream": 10, "scatter": 3},
        {"stream": "2 MiB", "scatter": 3, "tile": 6},
        {"stream": 10, "scatter": -1, "tile": 6},
        9,
    ],
    "09.w1": [1, 3, None],
    "09.w2": ["none", "those of gpu0", "all of the machine", None],
    "09.1": [
        leavers_by_use,
        newest_leaves,
        nobody_leaves,
        lambda room, reads: leavers_by_arrival(room + 1, reads),
        lambda room, reads: set(leavers_by_arrival(room, reads)),
        "abc",
    ],
    "09.2": [
        {5: "abcdef", 4: "cdefab", 3: "defabc"},
        {5: "bcdefa", 4: "bcdefa", 3: "defabc"},
        {5: "bcdefa", 4: "cdefab", 3: "abcdef"},
        {5: "bcdef", 4: "cdefab", 3: "defabc"},
        {5: "bcdefa"},
        "fedcba",
    ],
    "09.3": [
        ("abcdabeabcde", 4),
        ("abcabc", 2),
        ("abcdabeabcde", 0),
        ("abcdabeabcde", True),
        ("abcxyz", 3),
        "abcdabeabcde",
        None,
    ],
    "10.w1": [1, 3, None],
    "10.w2": [1, 1000, "two"],
    "10.1": ["CGBEHFA", "CBGEHAF", "CGBEAHF", "CDGBEHAF", "CGBEHAFI", "CGBEHA", "", 7],
    "10.2": [
        (2, loses_access),
        (5, loses_access),
        (1, lambda p, a: p.munmap(a)),
        (1, lambda p, a: p.set_attr(a, access=["gpu0"])),
        (1, lambda p, a: 1 / 0),
        (1, "program"),
        (9, loses_access),
        loses_access,
    ],
    "10.3": [
        lambda events: [16 - sum(last - first + 1 for _, first, last in events[: n + 1]) for n in range(len(events))],
        lambda events: [0 for _ in events],
        lambda events: [16 for _ in events],
        lambda events: [0 if any(what == "home" for what, _, _ in events) else 16 for _ in events],
        lambda events: pages_held_by_set([each for each in events if each[0] == "munmap"]),
        16,
    ],
    "11.w1": [4, 6, "finalize"],
    "11.w2": ["the call", "a GPU fault", None],
    "11.1": [
        STEPS | {"A": 12},
        STEPS | {"B": 12},
        STEPS | {"C": 16},
        STEPS | {"D": 15},
        STEPS | {"E": 7},
        STEPS | {"E": "5"},
        {"A": 13},
        [13, 7, 9, 16, 5],
    ],
    "11.2": [
        lose_at_the_end,
        lose_by_a_fence,
        lambda p, a: p.cpu_write(a.pages(2), 9),
        lambda p, a: p.munmap(a.pages(2)),
        lambda p, a: None,
        lambda p: None,
        lambda p, a: a.pages(9),
        unfinished,
        3,
    ],
    "11.3": [
        {"after_copy": "returned"},
        *({name: option for name, option in MENDED.items() if name != without} for without in MENDED),
        MENDED | {"holes": "zeroed"},
        {"no_slot": "returned"},
        {"after_copy": "never"},
        "as-intended",
        {},
    ],
    "12.w1": ["gpu1", "gpu0", None],
    "12.w2": [1, 512, "all"],
    "12.1": [
        lambda piece: (piece.npages * piece.touches, piece.npages),
        lambda piece: (piece.npages * piece.touches, piece.npages * (2 if piece.read_by_cpu else 1)),
        lambda piece: (piece.npages * len(piece.gpus), price(piece)[1]),
        lambda piece: price(piece)[1],
        lambda piece: 1 / 0,
        512,
    ],
    "12.2": [(6, 0), (7, 3), (4, 3), (7, -1), (7, "0"), 7, "line 7"],
    "12.3": [
        whole_buffers,
        placed(first_user),
        placed(first_that_fits, moves=lambda piece: piece.npages > 1),
        placed(first_that_fits, moves=lambda piece: not piece.read_by_cpu),
        placed(lambda piece, hive, free: hive[0]),
        placed(first_that_fits, access=[f"gpu{index}" for index in range(8)]),
        placed(first_that_fits, access=["gpu0"]),
        lambda work: [],
        lambda work: [("weights", 0, 1)],
        lambda work: [("nothing", 0, 1, {})],
        lambda work: [("weights", page, page, {}) for page in range(101)],
        lambda work: 3,
        list,
        unfinished,
        model_plan.__name__,
    ],
    "A.w1": [2048, 200, "many"],
    "A.w2": ["the end of the migration", "the queues run again", None],
    "A.1": [
        lambda line: None,
        lambda line: (int(line.split("@")[1].split("(")[0]), 1) if "@" in line else None,
        lambda line: pages_of_a_line(line.replace("8 ", "6 ").replace("7 ", "6 ")),
        lambda line: pages_of_a_line(line) and (pages_of_a_line(line)[0], pages_of_a_line(line)[1] + 1),
        lambda: (0, 1),
        unfinished,
        7,
    ],
    "A.2": [
        (moves, moves),
        (moves, moves_all_but_pinned),
        (moves, lambda p, a: None),
        (lambda p, a: None, lambda p, a: None),
        (moves, lambda p, a: p.set_attr(a.pages(0, 4), access=["gpu0"], prefetch="gpu0")),
        (moves, lambda p, a: p.mmap(-1)),
        (moves, lambda p: None),
        (moves,),
        moves,
    ],
    "A.3": [
        [],
        list(HOME[:1]),
        [HOME[0], HOME[0]],
        [HOME[0].replace("6000000", "1000000"), HOME[1].replace("6300000", "1300000")],
        [line.replace("8a3f->0", "0->8a3f") for line in HOME],
        ["5", "6"],
        ["", ""],
        [5, 6],
        HOME[0],
        None,
    ],
}


def cases(answers: dict) -> list:
    return [pytest.param(number, answer, id=f"{number}-{answer}") for number in answers for answer in answers[number]]


def test_every_exercise_has_right_and_wrong_answers_listed_here():
    assert RIGHT.keys() == WRONG.keys() == bank.exercises().keys()
    assert min(map(len, RIGHT.values())) >= 2
    assert min(map(len, WRONG.values())) >= 3


@pytest.mark.parametrize(("number", "answer"), cases(RIGHT))
def test_a_right_answer_is_accepted(number: str, answer):
    assert verdict(bank.exercise(number), answer)[0] == "right"


@pytest.mark.parametrize(("number", "answer"), cases(WRONG))
def test_a_wrong_answer_is_rejected_with_the_case_and_the_rule(number: str, answer):
    found, text = verdict(bank.exercise(number), answer)
    assert found == "wrong"
    assert re.fullmatch(
        r"not right yet\n  given +\S.*\n  yours +\S.*\n  expected +\S.*\n  rule +\S.*(\n  help .*)?", text
    )
    assert "Traceback" not in text


@pytest.fixture(scope="module")
def moved_page_s() -> float:
    """Seconds of processor time that moving one page and looking at it take here: what a check is measured by."""
    return min(_cpu_seconds(bank.prediction("00.p1").happens) for _ in range(5))


def _cpu_seconds(work) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin


@pytest.mark.parametrize("number", bank.exercises())
def test_a_check_costs_at_most_what_moving_a_page_costs_three_hundred_times(number: str, moved_page_s: float):
    # About a second on a laptop; a wall clock would fail wherever the machine is busy.
    assert _cpu_seconds(lambda: verdict(bank.exercise(number), RIGHT[number][0])) <= 300 * moved_page_s


@pytest.mark.parametrize("number", bank.exercises())
def test_an_untouched_stub_is_not_tried_yet(number: str, capsys):
    check(number, ...)
    assert capsys.readouterr().out == f"{number} not tried yet\n"


@pytest.mark.parametrize("asked", bank.exercises().values(), ids=lambda asked: asked.id)
def test_an_exercise_has_three_hints_and_a_warm_up_none(asked: Exercise):
    assert len(asked.hints) == (0 if asked.kind is Kind.WARM_UP else 3)
    assert (".w" in asked.id) == (asked.kind is Kind.WARM_UP)


@pytest.mark.parametrize("number", bank.predictions())
def test_what_happens_is_one_of_the_choices_of_each_question(number: str):
    asked = bank.prediction(number)
    happened = asked.happens()
    assert happened.keys() == {question.name for question in asked.questions}
    assert all(happened[question.name] in question.choices for question in asked.questions)


def test_answers_that_name_the_same_step_too_early_get_the_rule_of_that_step(capsys):
    check("00.1", "DEAFBC")
    assert "GPUs map what the CPU's page table names in the end" in capsys.readouterr().out


def test_a_step_that_does_not_belong_names_what_it_is_no_step_of(capsys):
    check("02.1", "DFE")
    told = capsys.readouterr().out
    assert "a step of such a call" in told
    assert "no call joins ranges" in told


def test_an_answer_that_raises_is_told_in_one_line():
    def judge(answer):
        yield None
        answer()

    asked = Exercise("99.1", Kind.WRITE, "Call it.", judge)
    found, text = verdict(asked, lambda: 1 / 0)
    assert found == "wrong"
    assert "case 2" in text
    assert "it stops with ZeroDivisionError: division by zero" in text


def test_a_function_that_is_not_written_yet_is_not_tried_yet():
    def judge(answer):
        yield answer()

    def stub():
        raise NotImplementedError

    assert verdict(Exercise("99.1", Kind.WRITE, "Write it.", judge), stub) == ("not tried", "not tried yet")


def test_the_first_case_that_is_missed_is_told():
    def judge(_answer):
        yield None
        yield Miss("the second case", "1", "2", "count")
        yield Miss("the third case", "1", "3", "count")

    assert "the second case" in verdict(Exercise("99.1", Kind.WRITE, "Count.", judge), 1)[1]


def test_hints_are_asked_for_by_level_and_print_the_same_each_time(capsys):
    for _ in range(2):
        hint("00.2", 2)
    first, second = re.findall(r"00\.2 hint 2 of 3: .*\n\(more: .*\n", capsys.readouterr().out)
    assert first == second


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: check("00.9", 1), "there is no exercise '00.9'; allowed: 00.w1"),
        (lambda: hint("00.1", 4), "00.1 has no hint 4; allowed: 1 to 3"),
        (lambda: hint("00.w1"), "none: it is a warm-up"),
    ],
)
def test_what_there_is_not_is_refused_with_what_there_is(call, message: str):
    with pytest.raises(InputError, match=re.escape(message)):
        call()
