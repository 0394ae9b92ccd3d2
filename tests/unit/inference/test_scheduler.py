"""Who runs and what goes into a step: decode first, bounded prefill, shared prefix, youngest gives way."""

from serve_app.inference.scheduler import Scheduler, Sequence


def scheduler(slots=2, pool=1000, batch=16, prefill_budget=4):
    return Scheduler(slots, pool, batch, prefill_budget)


def prompt(*tokens, shareable=0):
    return Sequence(list(tokens), shareable=shareable)


def step(plan):
    """Compute a plan and sample token 7 for whoever finished its prompt or decoded."""
    chunks = plan.plan()
    plan.advance(chunks)
    for chunk in chunks:
        if chunk.last:
            chunk.sequence.tokens.append(7)
    return chunks


def test_nothing_to_do():
    assert scheduler().plan() == []


def test_prompt_is_read_in_batches_while_nobody_decodes():
    plan = scheduler(batch=16)
    plan.add(prompt(*range(40)))
    assert [step(plan)[0].count for _ in range(4)] == [16, 16, 8, 1]


def test_decoding_comes_first_and_bounds_prefill():
    plan = scheduler(batch=16, prefill_budget=4)
    first, second = prompt(1, 2), prompt(*range(10))
    plan.add(first)
    step(plan)
    plan.add(second)
    chunks = step(plan)
    assert [(chunk.sequence, chunk.count) for chunk in chunks] == [(first, 1), (second, 4)]
    assert [chunk.last for chunk in chunks] == [True, False]
    step(plan)
    chunks = step(plan)
    assert [(chunk.sequence, chunk.count) for chunk in chunks] == [(first, 1), (second, 2)]
    assert chunks[1].last


def test_no_more_run_than_there_are_slots_and_order_is_kept():
    plan = scheduler(slots=2)
    jobs = [prompt(i, i) for i in range(4)]
    for job in jobs:
        plan.add(job)
    step(plan)
    assert plan.running == jobs[:2]
    freed = plan.remove(jobs[0])
    step(plan)
    assert plan.running == [jobs[1], jobs[2]]
    assert jobs[2].slot == freed
    assert {job.slot for job in plan.running} == {1, 2}


def test_remove_from_the_queue_clears_no_slot():
    plan = scheduler(slots=1)
    first, second = prompt(1), prompt(2)
    plan.add(first)
    plan.add(second)
    step(plan)
    assert plan.remove(second) == 0
    assert not plan.waiting


def test_admission_keeps_room_to_grow_but_one_always_runs():
    plan = scheduler(pool=100)
    big, small = prompt(*range(90)), prompt(1, 2, 3)
    plan.add(big)
    plan.add(small)
    step(plan)
    assert plan.running == [big]
    plan.remove(big)
    step(plan)
    assert plan.running == [small]


def test_system_prompt_becomes_the_prefix_and_is_reused():
    plan = scheduler()
    first = prompt(5, 6, 7, 8, 1, shareable=4)
    plan.add(first)
    chunks = plan.plan()
    assert plan.advance(chunks) is first
    assert plan.prefix == [5, 6, 7, 8]
    second = prompt(5, 6, 7, 8, 2, 3, shareable=4)
    plan.add(second)
    chunks = [chunk for chunk in plan.plan() if chunk.sequence is second]
    assert [(chunk.reuse, chunk.count) for chunk in chunks] == [(4, 2)]
    assert plan.advance(chunks) is None


def test_prefix_is_reused_as_far_as_it_agrees_and_never_whole_prompt():
    plan = scheduler()
    plan.prefix = [5, 6, 7, 8]
    other, same = prompt(5, 6, 1, 2, shareable=3), prompt(5, 6, 7)
    plan.add(other)
    plan.add(same)
    chunks = plan.plan()
    assert [(chunk.reuse, chunk.count) for chunk in chunks] == [(2, 2), (2, 1)]
    assert plan.advance(chunks) is other
    assert plan.prefix == [5, 6, 1]


def test_the_youngest_gives_way_and_goes_on_where_it_was():
    plan = scheduler(slots=3)
    jobs = [prompt(i, i) for i in range(3)]
    for job in jobs:
        plan.add(job)
    step(plan)
    slot = jobs[2].slot
    assert plan.preempt() == slot
    assert plan.waiting[0] is jobs[2]
    assert (jobs[2].slot, jobs[2].position, jobs[2].tokens) == (0, 0, [2, 2, 7])
    plan.preempt()
    assert list(plan.waiting) == [jobs[1], jobs[2]]
    again = [chunk for chunk in step(plan) if chunk.sequence is jobs[1]]
    assert [(chunk.count, chunk.last) for chunk in again] == [(3, True)]
