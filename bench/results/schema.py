"""The results folder: the one place that knows its paths, its columns and their units. Standard library only.

    results/<run>/run.json                             what the run is: see RUN
    results/<run>/<scenario>/<variant>/<load>/<round>/ one trial
        trial.json       see TRIAL; written last, so a folder without it is a trial cut short
        requests.hlog    latencies: HdrHistogram interval log V2, see HLOG
        counts.csv       requests counted: see COUNTS
        server.log       what the server printed
        server-<pid>.csv probe samples every 100 ms, one file a worker process: see SERVER
        stalls-<pid>.csv blame: where the loop was stuck, and for how long: see STALLS
    results/<run>/<scenario>/logs/                     locust's log and the lineup's file, once a lineup
    results/<run>/locust.log                           instead of those logs, where one Locust with its web UI did all
    results/<run>/summary.csv                          see SUMMARY
    results/<run>/claims.csv                           see CLAIMS
    results/<run>/summary.md, charts/, index.html      drawn
    results/<run>/doctor.json, junit.xml               of a run of the doctor's alone: see DOCTOR
    results/latest                                     symbolic link to the newest run

**Time** in every file is ``time.perf_counter`` in seconds (CLOCK_MONOTONIC on Linux), the same clock in every process
of a machine. ``trial.json`` and the log's ``BaseTime`` say what to add for Unix time.

RUN (run.json)
    schema, name, created_unix_s, command (str: measures the same again), machine (object: see machine.py), git, and
    scenarios: {name: {question, path, load {users, rate_rps, name}, seed, rounds, measure_s, profile,
                       packages {name: version} (of those that only some scenarios have),
                       sweep: [{users, rate_rps, name, laws {variant: law as below}}] (only with --sweep),
                       variants: [{name, role, summary, twin (the variant that it is the same as; empty or missing
                                   where it is one of its own), file (where it was), source (its text), workers,
                                   uvicorn_options,
                                   law: {formula, service_s, servers|null for no limit, kind, ceiling_rps, latency_s}
                                        or null}],
                       claims: [{name, statement, guide (bool: the guide says so), quiz (1..3 or null),
                                 comparisons: [{metric, variant, relation, other, factor, endpoint}]}]}}
    A round counts when every variant of the scenario has its trial.json there; other rounds were cut short.
    Only of the doctor's: doctor {app, python and uvicorn (its versions), watched (bool: with the probe), users, prober
    (the operation that it asks), endpoints: [{scenario, endpoint, path, alone_s}], left_out: [{name, reason}],
    places: [{role, name, file, first, last, awaits}] (functions of the app that are known by their role), start_up
    {ready_s, stalls: [{file, line, function, leaf, stalled_s}]}, excerpts: [{file, line, first, text: [...]}] (source
    around what was held)}

TRIAL (trial.json)
    schema, scenario, variant, round, load {users, rate_rps, name}, lineup (name), position (1 = first in its round),
    status ("ok" | "invalid" | "failed"), reasons (list of str, empty when ok), log_tail (str, when not ok),
    turns: [{rotation, start_s, warm_until_s, end_s, quiet (bool: all requests had come back before the next turn;
             null for the lineup's last, which nobody follows), late_s (how long that took)}],
    clock {perf_counter_s, unix_s}: both read at the same moment,
    timings {ready_s, overhead_s, ...}, pids {server, locust}, cores {server: [..], generator: [..]}, port,
    services {name: version, as the server says itself},
    facts {endpoints: {endpoint: {...see FACTS}}, generator_cpu_cores_max, ...},
    files {name: size in bytes}: a file of another size was cut or changed, and is refused.

FACTS of an endpoint in a trial (over the measured parts of its turns)
    measured_s, started, finished, failed, causes {cause: count}, statuses {unexpected status: count}, unfinished,
    drained, dropped, throughput_rps (finished / measured_s), in_flight_mean (time average, from Little's law's area),
    users (null where a timetable drives), errors: [up to 5 sample messages]

HLOG (requests.hlog)
    Tag=<endpoint quoted as in a URL>:<kind>,<start_s>,<length_s>,<max_ms>,<histogram, base64 of V2 compressed>
    Values are integer microseconds, 1 us to 10 min, 3 significant digits. Kinds:
        service             done - sent, of requests begun and finished well in the same warm-up or measured part
        response            done - intended, likewise; only where a timetable drives
        lag                 sent - intended; only where a timetable drives
        failed              done - intended of the failed ones
        unfinished          age (end - intended) of requests begun in that part and unanswered at its turn's end:
                            right-censored
        carried             done - intended of requests that began in the part before, or in a turn's warm-up
        carried_unfinished  their age where they were never answered
    An interval lasts at most a second and never crosses the edge of a turn or of its warm-up.

COUNTS (counts.csv), one row per interval and endpoint
    start_s, end_s, endpoint, measured (1, or 0 in warm-up), started, finished, failed (sum of the causes), unfinished
    (unanswered at the end of the turn), drained (of the unfinished: answered before the next turn began), dropped
    (never sent: no connection was free), in_flight (at the interval's end), reconnects, failed_<cause> for each CAUSES

SERVER (server-<pid>.csv), one row every 100 ms and worker process, written by the probe (every 500 ms while nobody
    has asked the server anything for a second)
    at_s, lag_ms (the loop's latest sign of life: how late it was, or how long it is overdue by now), lag_max_ms (the
    largest since the row before, the overdue one included), tokens_borrowed, tokens_total, tokens_waiting (anyio's
    threadpool; empty until the app has one), threads (Python's, the probe's not among them), cpu_s (of the process,
    since its start), loop_cpu_s (of the loop's thread alone; empty on macOS), rss_mb, connections, in_flight (requests;
    both empty where uvicorn does not tell). CATEGORIES says what analysis makes of them.

STALLS (stalls-<pid>.csv), one row a piece of a stall, at least every 100 ms while it lasts
    at_s (when the piece began), stall (number of the stall; its pieces add up), kind (one of STALL_KINDS), stalled_ms,
    file, line, function (deepest frame of the app's own code; empty where there is none), leaf (the call it is in, such
    as time.sleep), samples (stacks that say so). A call that ends before it is a stall, and that a look found the loop
    asleep in, counts for the beat that the look stands for, with a number of its own.

SUMMARY (summary.csv), tidy
    scenario, variant, load, endpoint, metric, unit, value, ci_low, ci_high, trials, at_least
    95 % interval of the mean over rounds; empty where it cannot be had, never 0. at_least is 1 for a lower bound.

CLAIMS (claims.csv), one row a claim
    scenario, claim (its name), verdict ("confirmed" | "refuted" | "inconclusive"), evidence (one sentence of numbers)

DOCTOR (doctor.json)
    schema, app, users, headline, findings: [{category (with hyphens), place {file, line, function, leaf, role} or null,
    endpoints, everywhere (bool: in all of them, so none of them is accused), share (of the time), gain {formula,
    ceiling_rps, capped} or null, remedies: [Markdown]}], endpoints: [{endpoint, category, accused, evidence, troubles,
    alone_ms, throughput_rps, prober_p50_ms, prober_p90_ms, prober_max_ms}], left_out: [{endpoint, reason}],
    start_up: [{...place, stalled_s}]
"""

from __future__ import annotations

SCHEMA = 1
"""Moves when old results stop being comparable or readable; CHANGELOG.md says why."""

CAUSES = ("status", "refused", "reset", "closed", "timeout", "malformed", "other")
"""Why a request failed: an unexpected status; connection refused; reset; closed before the answer was whole; no answer
within the timeout; an answer that is not HTTP; anything else (an exception in a user's own code)."""

COUNTS_COLUMNS = (
    "start_s",
    "end_s",
    "endpoint",
    "measured",
    "started",
    "finished",
    "failed",
    "unfinished",
    "drained",
    "dropped",
    "in_flight",
    "reconnects",
    *(f"failed_{cause}" for cause in CAUSES),
)

SERVER_COLUMNS = (
    "at_s",
    "lag_ms",
    "lag_max_ms",
    "tokens_borrowed",
    "tokens_total",
    "tokens_waiting",
    "threads",
    "cpu_s",
    "loop_cpu_s",
    "rss_mb",
    "connections",
    "in_flight",
)

STALL_KINDS = ("loop", "gil", "threadpool")
"""loop: the loop's own thread was held by a call. gil: it was ready to run, but other threads held the interpreter;
they are charged. threadpool: all tokens were borrowed and requests waited; the functions that hold them are charged."""

STALLS_COLUMNS = ("at_s", "stall", "kind", "stalled_ms", "file", "line", "function", "leaf", "samples")

CATEGORIES = (
    "loop blocked",
    "threadpool exhausted",
    "GIL-bound",
    "CPU-bound",
    "waiting on others",
    "idle",
    "not enough data",
)
"""What a server was doing, a closed set. Waiting on others is fine: it is what a server of awaited I/O does."""

SUMMARY_COLUMNS = (
    "scenario",
    "variant",
    "load",
    "endpoint",
    "metric",
    "unit",
    "value",
    "ci_low",
    "ci_high",
    "trials",
    "at_least",
)

CLAIMS_COLUMNS = ("scenario", "claim", "verdict", "evidence")

HISTOGRAM_MIN_US = 1
HISTOGRAM_MAX_US = 600_000_000
HISTOGRAM_DIGITS = 3

INTERVAL_S = 1.0
"""The longest interval of requests.hlog and counts.csv."""
