"""Why something happened."""

import svmlab as sl


def test_the_chain_of_causes_leads_from_a_mapping_back_to_the_call_that_asked_for_it():
    p = sl.Process("toy")
    a = p.mmap("4 KiB", name="a")
    p.set_attr(a, access=["gpu0"], prefetch="gpu0")
    p.run()
    chain = sl.why(p.log.events("map_to_gpu")[-1])
    assert [event.name for event in chain] == [
        "map_to_gpu",
        "restore_range",
        "restore_start",
        "restore_scheduled",
        "evict",
        "notifier",
        "migrate_start",
        "call_start",
    ]
    assert str(chain).splitlines()[0].endswith("main: set_attr: set_attr(a) begins on 0x7e0000000")


def test_an_event_without_a_cause_is_its_own_chain():
    p = sl.Process("toy")
    assert len(sl.why(p.log[0])) == 1
