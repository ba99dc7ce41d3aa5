"""Closed loops and open pools against a server that counts: every request meets one fate, and both sides agree on it.

What a server received is compared to the request. With GET it is

    started - refused + resent

where ``resent`` are the requests that the server took and dropped, without a byte, on a connection that had served
before: to the client that is an idle connection being closed, so it asks again. A POST is never asked again.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import islice, pairwise
from time import perf_counter

import pytest
from load_world import (
    Server,
    Site,
    TrialRecorder,
    conduct,
    drain,
    end,
    loops,
    nothing_falls_into_the_hub,  # noqa: F401
    playing,
    pool,
    run_for,
    server_fixture,  # noqa: F401
    site_fixture,  # noqa: F401
    until,
)

from bench.load.request import Request
from bench.load.virtual_users import NO_REQUEST, RETRY_S, ClosedModelUser, OpenModelGenerator, UserConfig, VirtualUser
from bench.results.schema import CAUSES

USERS = 4


def asking(*paths: str, method: str = "GET") -> Callable[[], Iterator[Request]]:
    """An iterator of requests: these paths, and no more."""
    return lambda: iter([Request(path, method) for path in paths])


def opened(how: UserConfig, site: Site, book: TrialRecorder, rate_rps: float = 400) -> VirtualUser:
    """An open pool that has begun, at a constant rate for a second."""
    player = pool(how, (k / rate_rps for k in range(int(rate_rps))))
    player.begin(site.target, book.channel)
    return player


# Causes


FAILURES = [
    ("/status/500", "status"),
    ("/status/404", "status"),
    ("/reset", "reset"),
    ("/reset-mid", "reset"),
    ("/close", "closed"),
    ("/close-mid", "closed"),
    ("/endless", "closed"),
    ("/never", "timeout"),
    ("/garbage", "malformed"),
]


def test_the_tables_below_have_a_row_for_every_cause() -> None:
    refused_and_other = {"refused", "other"}  # they have tests of their own
    assert {cause for _, cause in FAILURES} | refused_and_other == set(CAUSES)


@pytest.mark.parametrize("model", ["closed", "open"])
@pytest.mark.parametrize(("path", "cause"), FAILURES)
def test_each_failure_is_counted_once_under_its_cause_and_the_load_goes_on(
    site: Site, path: str, cause: str, model: str
) -> None:
    how = conduct(asking(path, "/ok", path, "/ok"), timeout_s=0.5 if cause == "timeout" else 30)
    book = TrialRecorder()
    player = pool(how, [0, 0.3, 0.6, 0.9]) if model == "open" else ClosedModelUser(how)
    with playing(player):
        player.begin(site.target, book.channel)

        def settled() -> bool:
            player.expire(perf_counter())  # the stage's tick does it in real life
            return book.sum("finished") + book.sum("failed") == 4

        until(settled, "four requests settled")
        end(player)
    book.assert_conserved()
    assert book.row(f"GET {path}").causes == {cause: 2}
    assert book.row("GET /ok").causes == {}
    assert book.row("GET /ok").finished == 2
    assert book.row(f"GET {path}").statuses == ({int(path[-3:]): 2} if cause == "status" else {})
    assert book.row(f"GET {path}").samples, "a message says what was wrong"
    books = site.books()
    resent = books["dropped_on_used"].total()
    assert books["received"].total() == 4 + resent
    assert book.sum("reconnects") == resent
    assert resent <= 1


@pytest.mark.parametrize("path", ["/reset", "/close"])
def test_a_post_on_a_used_connection_is_not_repeated(site: Site, path: str) -> None:
    player, book = ClosedModelUser(conduct(asking("/ok", path, "/ok", path, "/ok", method="POST"))), TrialRecorder()
    with playing(player):
        player.begin(site.target, book.channel)
        until(lambda: book.row("POST /ok").finished == 3, "three answers")
        end(player)
    book.assert_conserved()
    books = site.books()
    assert books["dropped_on_used"] == {f"POST {path}": 2}
    assert books["received"] == {"POST /ok": 3, f"POST {path}": 2}
    assert book.sum("failed") == 2
    assert book.sum("reconnects") == 0


def test_a_refusing_server_is_asked_again_but_not_hammered(site: Site) -> None:
    site.refuse()
    book = TrialRecorder()
    players = loops(USERS, conduct("/ok"), site, book)
    with playing(*players):
        began_s = perf_counter()
        until(lambda: book.sum("failed") >= 5 * USERS, "five attempts each")
        # Of one user, attempts are RETRY_S apart; the first needs no pause.
        assert book.sum("started") <= USERS * (1 + (perf_counter() - began_s) / RETRY_S)
        assert book.causes().keys() == {"refused"}
        site.listen()
        until(lambda: book.sum("finished") >= USERS, "answers, once the server is back")
        end(*players)
        drain(*players)
    book.assert_conserved()
    until(lambda: site.received() == book.sum("started") - book.causes()["refused"], "the server's count agrees")


def test_an_open_pool_takes_a_refusal_as_the_outcome_of_that_arrival(site: Site) -> None:
    site.refuse()
    player, book = pool(conduct("/ok"), [0, 0.01, 0.01, 0.02]), TrialRecorder()
    with playing(player):
        player.begin(site.target, book.channel)
        until(lambda: book.sum("failed") == 4, "four refusals")
        end(player)
    book.assert_conserved()
    assert book.causes() == {"refused": 4}
    assert book.sum("started") == 4, "no arrival is tried twice"


class Stumbling:
    """A user's iterator that raises at every third call, and can go on afterwards."""

    def __init__(self) -> None:
        self.calls = 0

    def __iter__(self) -> Stumbling:
        return self

    def __next__(self) -> Request:
        self.calls += 1
        if self.calls > 6:
            raise StopIteration
        if self.calls % 3 == 1:
            raise KeyError("no such user")
        return Request("/ok")


@pytest.mark.parametrize("model", ["closed", "open", "thinking"])
def test_an_exception_in_a_users_own_iterator_is_a_failure_of_its_own(site: Site, model: str) -> None:
    how = conduct(Stumbling, think_time_s=0.01 if model == "thinking" else 0.0)
    book = TrialRecorder()
    player = pool(how, [0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06]) if model == "open" else ClosedModelUser(how)
    with playing(player):
        player.begin(site.target, book.channel)
        until(lambda: book.sum("finished") == 4, "the four requests that could be made")
        end(player)
    book.assert_conserved()
    assert book.row(NO_REQUEST).causes == {"other": 2}
    assert "KeyError: 'no such user'" in book.row(NO_REQUEST).samples[0]
    assert site.books()["received"] == {"GET /ok": 4}


@pytest.mark.parametrize("model", ["closed", "open"])
def test_a_generator_that_raised_is_over_and_nothing_spins(site: Site, model: str) -> None:
    def broken() -> Iterator[Request]:
        yield Request("/ok")
        raise ValueError("a bug of the user's own")

    book = TrialRecorder()
    player = pool(conduct(broken), [0, 0, 0, 0]) if model == "open" else ClosedModelUser(conduct(broken))
    with playing(player):
        player.begin(site.target, book.channel)
        until(lambda: book.sum("finished") == 1 and book.sum("failed") == 1, "one answer, one failure")
        run_for(3 * RETRY_S)
        end(player)
    book.assert_conserved()
    assert book.causes() == {"other": 1}
    assert book.sum("started") == 2


def test_an_iterator_that_raises_with_the_turns_end_does_not_stop_the_turns(site: Site) -> None:
    """Late arrivals are made by ``end`` itself: what a user's code raises there must not reach the coordinator."""
    player, book = pool(conduct(Stumbling), [0.0]), TrialRecorder()
    with playing(player):
        player.begin(site.target, book.channel)
        end(player)  # before the hub has run at all
        assert book.causes() == {"other": 1}
    book.assert_conserved()


# Servers that close


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_server_that_announces_the_end_of_each_connection(site: Site, method: str) -> None:
    player, book = ClosedModelUser(conduct(asking(*["/close-announced"] * 20, method=method))), TrialRecorder()
    with playing(player):
        player.begin(site.target, book.channel)
        until(lambda: book.sum("finished") == 20, "every answer")
        end(player)
    book.assert_conserved()
    assert book.sum("failed") == 0
    assert book.sum("reconnects") == 19, "the first connection is no reconnection"
    assert site.received() == 20
    assert site.books()["connections"] == 20


def test_a_server_that_closes_without_a_word(site: Site) -> None:
    """A GET that was sent into a closing connection was received by nobody: it goes out again, once."""
    player, book = ClosedModelUser(conduct(asking(*["/close-unannounced"] * 20))), TrialRecorder()
    with playing(player):
        player.begin(site.target, book.channel)
        until(lambda: book.sum("finished") == 20, "every answer")
        end(player)
    book.assert_conserved()
    assert book.sum("failed") == 0
    assert book.sum("reconnects") == 19
    assert site.received() == 20
    assert site.books()["connections"] == 20


def test_a_post_sent_into_a_closing_connection_fails_rather_than_being_repeated(site: Site) -> None:
    how = conduct(asking(*["/close-unannounced"] * 20, method="POST"))
    player, book = ClosedModelUser(how), TrialRecorder()
    with playing(player):
        player.begin(site.target, book.channel)
        until(lambda: book.sum("finished") + book.sum("failed") == 20, "every request settled")
        end(player)
    book.assert_conserved()
    assert book.causes().keys() <= {"closed", "reset"}
    assert site.received() == book.sum("finished"), "what failed, nobody had received"
    assert book.sum("failed") > 0


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_server_that_closes_idle_connections(site: Site, method: str) -> None:
    how = conduct(asking(*["/idle-close"] * 5, method=method), think_time_s=0.2)
    player, book = ClosedModelUser(how), TrialRecorder()
    with playing(player):
        player.begin(site.target, book.channel)
        until(lambda: book.sum("finished") == 5, "every answer")
        end(player)
    book.assert_conserved()
    assert book.sum("failed") == 0
    assert book.sum("reconnects") == 4
    assert site.received() == site.books()["connections"] == 5


# Conservation

WEIGHTED = {
    "/ok": 40,
    "/chunked": 10,
    "/interim": 5,
    "/slow": 5,
    "/late/0.02": 5,
    "/status/500": 8,
    "/reset": 4,
    "/reset-mid": 4,
    "/close": 4,
    "/close-mid": 4,
    "/close-announced": 6,
    "/close-unannounced": 6,
    "/garbage": 4,
    "/never": 2,
}
WHOLE = WEIGHTED.keys() - {"/reset", "/reset-mid", "/close", "/close-mid", "/garbage", "/never"}


def faulty(seed: int) -> Callable[[], Iterator[Request]]:
    """Random faults without end. Each user draws its own, from one seed."""
    users = iter(range(1_000_000))

    def draw() -> Iterator[Request]:
        fate = random.Random(f"{seed}/{next(users)}")
        while True:
            yield Request(fate.choices(list(WEIGHTED), list(WEIGHTED.values()))[0])

    return draw


def assert_agreed(book: TrialRecorder, site: Site) -> None:
    """Path by path, the server received what was sent, and what it answered whole has met a fate that says so."""
    books = site.books()
    for name, row in book.rows().items():
        received, answered = books["received"][name], books["answered"][name]
        resent = books["dropped_on_used"][name]
        assert received == row.counts["started"] + resent, name
        late = row.counts.get("completed_late", 0)
        if name.removeprefix("GET ") in WHOLE:
            assert answered == row.finished + row.causes.get("status", 0) + late, name
            assert set(row.causes) <= {"status"}, name
            assert row.counts.get("unfinished", 0) == late, name
        else:
            assert answered == row.finished == late == 0, name
            assert "status" not in row.causes, name
    assert set(books["received"]) <= set(book.rows())


def until_agreed(book: TrialRecorder, site: Site) -> None:
    """Every request sent has reached the server; only then can the books be compared."""

    def arrived() -> bool:
        books = site.books()
        return bool(books["received"].total() >= book.sum("started") + books["dropped_on_used"].total())

    until(arrived, "the server has received what was sent")
    assert_agreed(book, site)


def play_until(players: list[VirtualUser], enough: Callable[[], bool]) -> None:
    """A turn: load, end, drain; what never comes is given up, as the stage's tick does it."""

    def expiring(condition: Callable[[], bool]) -> Callable[[], bool]:
        def look() -> bool:
            for player in players:
                player.expire(perf_counter())
            return condition()

        return look

    until(expiring(enough), "enough load")
    end(*players)
    until(expiring(lambda: not any(player.in_flight for player in players)), "quiet after the turn")


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("model", ["closed", "open"])
def test_no_request_is_lost_or_doubled_whatever_goes_wrong(site: Site, model: str, seed: int) -> None:
    how = conduct(faulty(seed), timeout_s=0.8)
    book = TrialRecorder()
    players = loops(16, how, site, book) if model == "closed" else [opened(how, site, book)]
    with playing(*players):
        play_until(players, lambda: len(book.causes()) == 5)  # status, reset, closed, timeout, malformed
        book.assert_conserved()
        until_agreed(book, site)
    assert book.sum("started") > 100


@pytest.mark.parametrize("model", ["closed", "open"])
@pytest.mark.parametrize("path", ["/ok", "/slow", "/status/500", "/close-announced", "/close-unannounced", "/chunked"])
def test_plain_loads_are_counted_to_the_request(site: Site, model: str, path: str) -> None:
    book = TrialRecorder()
    players = loops(8, conduct(path), site, book) if model == "closed" else [opened(conduct(path), site, book)]
    with playing(*players):
        play_until(players, lambda: book.sum("started") > 60)
        book.assert_conserved()
        until_agreed(book, site)
    assert book.sum("reconnects") <= site.books()["connections"]


# The open model


def test_arrivals_are_sent_when_they_are_due_and_late_ones_at_once(site: Site) -> None:
    due = [0.05, 0.1, 0.1, 0.6]
    player, book = pool(conduct("/ok"), due), TrialRecorder()
    with playing(player):
        began_s = perf_counter()
        player.begin(site.target, book.channel)
        begun_s = perf_counter()
        busy_until_s = began_s + 0.12
        while perf_counter() < busy_until_s:  # the generator itself is held up
            pass
        until(lambda: book.sum("finished") == 4, "four answers")
        end(player)
    book.assert_conserved()
    sent = sorted(received_s for _, received_s, _ in site.books()["spans"])
    assert sent[0] >= busy_until_s, "the hub could not run before"
    assert sent[2] < began_s + 0.6, "the late ones are not spread out again"
    assert sent[3] >= began_s + 0.6, "nothing is sent early"
    lags = sorted(book.raw["GET /ok"]["lag"])
    for lag_us, due_s in zip(lags[1:], [0.1, 0.1, 0.05], strict=True):
        # The timetable's zero lies between began_s and begun_s.
        assert lag_us >= (busy_until_s - begun_s - due_s) * 1e6 - 1


def test_a_frozen_server_shows_in_response_times_and_hides_from_service_times(site: Site) -> None:
    """100 arrivals a second and a freeze of 0.5 s: the arrival at t of the freeze waits 0.5 - t."""
    frozen_s = 0.5
    player, book = pool(conduct("/ok"), [k / 100 for k in range(100)]), TrialRecorder()
    with playing(player):
        player.begin(site.target, book.channel)
        until(lambda: book.sum("finished") >= 20, "a load that runs")
        start_s, end_s = site.freeze(frozen_s)
        until(lambda: book.sum("finished") == 100, "all answers")
        end(player)
    book.assert_conserved()
    spans = site.books()["spans"]
    response_us = sorted(book.raw["GET /ok"]["response"])
    waited = [max(0.0, end_s - received_s) for _, received_s, _ in spans if received_s >= start_s]
    waited += [0.0] * (100 - len(waited))
    for got_us, expected_s in zip(response_us, sorted(waited), strict=True):
        assert expected_s - 0.005 <= got_us / 1e6 <= expected_s + 0.3
    assert sum(us > 100_000 for us in response_us) >= 30, "40 arrivals fell into the first 0.4 s of the freeze"


def test_where_the_generator_waits_service_time_flatters(site: Site) -> None:
    """What the generator could not send in time is slow for its user: response time says so, service time does not."""
    held_s = 0.3
    player, book = pool(conduct("/ok"), [k / 100 for k in range(30)]), TrialRecorder()
    with playing(player):
        player.begin(site.target, book.channel)
        until_s = perf_counter() + held_s
        while perf_counter() < until_s:  # no hub callback can run: every arrival is late, by what is left of held_s
            pass
        until(lambda: book.sum("finished") == 30, "all answers")
        end(player)
    raw = {kind: sorted(values) for kind, values in book.raw["GET /ok"].items()}
    for number, response_us in enumerate(raw["response"]):
        least_s = held_s - (29 - number) / 100
        assert least_s - 0.001 <= response_us / 1e6 <= least_s + 0.2
    assert raw["response"][-1] - raw["service"][-1] > 100_000
    assert sum(raw["response"]) == pytest.approx(sum(raw["service"]) + sum(raw["lag"]), abs=3 * 30)


def test_arrivals_beyond_the_cap_are_dropped_and_counted(site: Site) -> None:
    player, book = pool(conduct("/late/0.3", max_connections=5), [k / 1000 for k in range(20)]), TrialRecorder()
    with playing(player):
        player.begin(site.target, book.channel)
        until(lambda: book.sum("started") + book.sum("dropped") == 20, "the whole timetable")
        assert player.in_flight == 5
        until(lambda: book.sum("finished") == 5, "the answers")
        end(player)
    book.assert_conserved()
    assert book.sum("dropped") == 15
    assert site.received() == 5, "what was dropped was never sent"


def test_a_probe_waits_for_no_other_and_free_connections_are_used_again(site: Site) -> None:
    # Three that hang, one that finds them hanging and answers at once, then three more one after the other.
    how = conduct(asking("/late/0.8", "/late/0.8", "/late/0.8", "/ok", "/ok", "/ok", "/ok"))
    player, book = pool(how, [0, 0, 0, 0.05, 0.1, 0.15, 0.2]), TrialRecorder()
    with playing(player):
        player.begin(site.target, book.channel)
        until(lambda: book.row("GET /ok").finished == 4, "the quick ones")
        assert player.in_flight == 3, "the slow ones are still out"
        assert site.books()["connections"] <= 7
        until(lambda: book.sum("finished") == 7, "the slow ones")
        end(player)
    book.assert_conserved()


def test_one_connection_is_enough_for_answers_that_come_in_time(site: Site) -> None:
    book = TrialRecorder()
    player = pool(conduct(asking(*["/ok"] * 5)), [0.0, 0.1, 0.2, 0.3, 0.4])
    with playing(player):
        player.begin(site.target, book.channel)
        until(lambda: book.sum("finished") == 5, "every answer")
        end(player)
    spans = sorted(span[1:] for span in site.books()["spans"])
    overlapping = sum(a[1] > b[0] for a, b in pairwise(spans))
    assert site.books()["connections"] <= 1 + overlapping


# Turns


def test_the_unanswered_are_booked_with_their_age_and_late_answers_only_as_drained(site: Site) -> None:
    books = {"closed": TrialRecorder(), "open": TrialRecorder()}
    closed = ClosedModelUser(conduct("/late/0.5"))
    open_ = pool(conduct("/late/0.5"), [0, 0.1])
    with playing(closed, open_):
        began_s = perf_counter()
        closed.begin(site.target, books["closed"].channel)
        open_.begin(site.target, books["open"].channel)
        begun_s = perf_counter()
        until(lambda: sum(book.sum("started") for book in books.values()) == 3, "all three sent")
        end_s = end(closed, open_)
        ages_s = {}
        for model, book in books.items():
            book.rows()
            ages_s[model] = sorted(us / 1e6 for us in book.raw["GET /late/0.5"]["unfinished"])
        for age_s, due_s in zip(ages_s["open"], [0.1, 0.0], strict=True):  # aged from when they were due
            assert end_s - begun_s - due_s - 1e-6 <= age_s <= end_s - began_s - due_s
        (age_s,) = ages_s["closed"]
        assert 0 < age_s <= end_s - began_s
        drain(closed, open_)
    for book, count in ((books["closed"], 1), (books["open"], 2)):
        book.assert_conserved()
        assert book.sum("completed_late") == book.sum("unfinished") == count
        assert book.sum("finished") == book.sum("failed") == 0
    assert site.received() == 3, "nothing is asked after the end"


def test_what_was_due_before_the_end_is_still_sent_and_booked(site: Site) -> None:
    player, book = pool(conduct("/ok"), [0.0, 0.0, 60.0]), TrialRecorder()
    with playing(player):
        player.begin(site.target, book.channel)
        end(player)  # before the hub has run at all
        assert book.sum("unfinished") == 2
        assert book.row("GET /ok").area_s >= 0
        drain(player)
    book.assert_conserved()
    assert book.sum("completed_late") == 2
    assert site.received() == 2


@pytest.mark.parametrize("broken", ["/reset", "/close-mid", "/garbage", "/status/500"])
def test_what_breaks_after_the_end_is_no_failure(site: Site, broken: str) -> None:
    book = TrialRecorder()
    player = ClosedModelUser(conduct(broken))
    with playing(player):
        player.begin(site.target, book.channel)
        until(lambda: player.in_flight, "a request in flight")
        end(player)
        drain(player)
    row = book.row(f"GET {broken}")
    assert row.counts["unfinished"] >= 1
    assert row.counts["started"] == row.finished + sum(row.causes.values()) + row.counts["unfinished"]


@pytest.mark.parametrize("model", ["closed", "open"])
def test_an_old_target_never_leaks_into_the_next_turn(server: Server, model: str) -> None:
    """Answers of the old target that come during the next turn find nobody, and the next turn's books are its own."""
    slow, quick = server.open("slow"), server.open("quick")
    path = ""
    how = conduct(lambda: iter(lambda: Request(path), None))
    turns: list[tuple[Site, TrialRecorder]] = []
    player = pool(how, [0.01 * k for k in range(100)]) if model == "open" else ClosedModelUser(how)
    with playing(player):
        for site in (slow, quick, slow):
            path = "/late/0.2" if site is slow else "/ok"
            book = TrialRecorder()
            turns.append((site, book))
            player.begin(site.target, book.channel)
            wanted = 3 if model == "open" else 1
            if site is slow:
                until(lambda: book.sum("started") >= wanted, "requests on their way")  # noqa: B023
            else:
                run_for(0.3)  # the old answers would come in here
            end(player)
            player.abandon()
            assert player.in_flight == 0
    for site, book in turns:
        book.assert_conserved()
        assert book.rows().keys() == {"GET /late/0.2" if site is slow else "GET /ok"}
        assert book.sum("completed_late") == 0
        assert book.sum("failed") == 0
    for _, book in (turns[0], turns[2]):
        assert book.sum("unfinished") == book.sum("started") >= (3 if model == "open" else 1)
    assert turns[1][1].sum("finished") >= 20
    assert quick.books()["received"].keys() == {"GET /ok"}
    assert slow.books()["received"].keys() == {"GET /late/0.2"}


def test_a_timetable_stands_still_while_it_is_another_targets_turn(server: Server) -> None:
    """Turns shorter than the distance of two arrivals: none of them comes anew at zero, and none is lost."""
    sites = [server.open("a"), server.open("b")]
    books = {site.target: TrialRecorder() for site in sites}
    due_s = [0.0, 0.05, 0.1, 0.15, 0.2]
    player = pool(conduct("/ok"), due_s)
    turns, played_s = 0, dict.fromkeys(books, 0.0)
    with playing(player):
        while min(played_s.values()) < 0.22:
            site = sites[turns % 2]
            turns += 1
            began_s = perf_counter()
            player.begin(site.target, books[site.target].channel)
            run_for(0.03)
            played_s[site.target] += end(player) - began_s
            drain(player)
    for site in sites:
        book = books[site.target]
        book.assert_conserved()
        assert book.sum("started") == len(due_s)


def test_what_is_measured_has_a_timetable_of_its_own(site: Site) -> None:
    """However long the warm-ups are, a fifth of a second that counts has its five arrivals."""
    book = TrialRecorder()
    warm_s, measured_s = [0.0, 60.0], [0.0, 0.05, 0.1, 0.15, 0.2]
    player = OpenModelGenerator(conduct("/ok"), lambda programme, *_: iter((warm_s, measured_s)[programme]))
    played_s = 0.0
    with playing(player):
        while played_s < 0.22:
            player.begin(site.target, book.channel)
            run_for(0.02)
            edge_s = perf_counter()
            player.measure(edge_s)
            run_for(0.03)
            played_s += end(player) - edge_s
            drain(player)
    book.assert_conserved()
    assert book.sum("started") == 1 + len(measured_s)


def test_a_connection_to_every_target_is_kept(server: Server) -> None:
    sites = [server.open("a"), server.open("b")]
    book = TrialRecorder()
    player = ClosedModelUser(conduct("/ok"))
    with playing(player):
        for site in sites * 3:
            before = book.sum("finished")
            player.begin(site.target, book.channel)
            until(lambda: book.sum("finished") > before, "an answer")  # noqa: B023
            end(player)
            drain(player)
    assert [site.books()["connections"] for site in sites] == [1, 1]
    assert book.sum("reconnects") == 0


def test_a_user_who_leaves_in_the_middle_takes_its_request_along_as_unfinished(site: Site) -> None:
    book = TrialRecorder()
    players: list[VirtualUser] = [ClosedModelUser(conduct("/never")), pool(conduct("/never"), [0.0, 0.0, 60.0])]
    with playing(*players):
        for player in players:
            player.begin(site.target, book.channel)
        until(lambda: book.sum("started") == 3, "requests in flight")
        for player in players:
            player.close()
            player.close()  # once more changes nothing
    book.assert_conserved()
    assert book.sum("unfinished") == 3


def test_requests_of_the_warm_up_are_carried_not_measured(site: Site) -> None:
    book = TrialRecorder()
    closed, open_ = ClosedModelUser(conduct("/late/0.2")), pool(conduct("/late/0.2"), [0.0])
    with playing(closed, open_):
        closed.begin(site.target, book.channel)
        open_.begin(site.target, book.channel)
        until(lambda: book.sum("started") == 2, "both sent")
        edge_s = perf_counter()
        book.channel("GET /late/0.2").part_start_s = edge_s
        until(lambda: book.sum("finished") == 2, "both answered")
        answered_s = perf_counter()
        end(closed, open_)
    row = book.row("GET /late/0.2")
    assert sum(row.buckets["straddling"].values()) == 2
    assert "service" not in row.buckets
    assert "response" not in row.buckets
    # For Little's law only what they spent in this part counts.
    unfinished_s = sum(us / 1e6 for us in book.raw["GET /late/0.2"].get("unfinished", []))
    assert 0 < row.area_s <= 2 * (answered_s - edge_s) + unfinished_s + 0.001


def test_thinking_users_pause_between_an_answer_and_the_next_request(site: Site) -> None:
    how = conduct(asking(*["/ok"] * 4), think_time_s=0.05)
    book, player = TrialRecorder(), ClosedModelUser(how)
    with playing(player):
        player.begin(site.target, book.channel)
        until(lambda: book.sum("finished") == 4, "four answers")
        end(player)
    moments = [moment for _, *span in site.books()["spans"] for moment in span]
    pauses = [asked - answered for answered, asked in zip(moments[1::2], islice(moments, 2, None, 2), strict=False)]
    assert len(pauses) == 3
    assert min(pauses) >= 0.05


def test_users_begin_at_their_own_offsets(site: Site) -> None:
    book = TrialRecorder()
    offsets = [0.0, 0.1, 0.2]
    players = [ClosedModelUser(conduct(asking("/ok"))) for _ in offsets]
    with playing(*players):
        began_s = perf_counter()
        for player, offset_s in zip(players, offsets, strict=True):
            player.begin(site.target, book.channel, offset_s)
        until(lambda: book.sum("finished") == 3, "three answers")
        end(*players)
    asked = sorted(received_s for _, received_s, _ in site.books()["spans"])
    for asked_s, offset_s in zip(asked, offsets, strict=True):
        assert asked_s >= began_s + offset_s
