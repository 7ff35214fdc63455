"""Requests a second, latency at half of that, processor time a request: figures 1, 2, 3, 9, and for many pods 4."""

import statistics

from .load import TOKEN, open_load, visit, wrk
from .process import cpu_seconds
from .rows import judge, row
from .servers import Agent, Before, Floor, Nginx
from .tools import BenchError, program, run, say

KINDS = {"new": False, "keep": True}  # connection per request, or kept alive
# How many times as many requests as the build before there should be.
BEFORE = {"new": 1.2, "keep": 1.1}


def fetch_body(stage, pod, procs=None):
    """The agent's answer, which the references then give as well."""
    return run(*stage.inside_pod(pod, ["curl", "-sf", "-H", "Metadata-Flavor: Google",
                                       "http://169.254.169.254" + TOKEN], procs))


class Scene:
    """Servers that take turns behind one redirect, asked from one pod."""

    def __init__(self, stage, agent_path, pod, procs=None, with_floor=True, before=None):
        self.stage, self.pod, self.procs = stage, pod, procs
        stage.free_ports(pod)
        self.agent = Agent(stage, agent_path)
        self.agent.start()
        answer = visit([pod], [TOKEN], retry=True, procs=procs)[0]
        if answer["statuses"] != [200]:
            raise BenchError(f"the agent gives no token: {answer['statuses']}; its log: {self.agent.last_words()}")
        body = fetch_body(stage, pod, procs)
        self.agent.stop()
        self.subjects = [self.agent, Nginx(stage, pod, body)]
        if with_floor:
            self.subjects.append(Floor(stage, pod, body, program("floor")))
        if before:
            self.subjects.append(Before(before, self.agent))
        self.rates = {}

    def turn(self, subject, seconds, idle_seconds):
        """One server's turn in one round."""
        pod = getattr(subject, "pod", self.pod)
        subject.start(TOKEN)
        visit([pod], [TOKEN], retry=True, procs=self.procs)
        taken = {}
        try:
            for kind, keep_alive in KINDS.items():
                before = cpu_seconds(subject.processes())
                load = wrk(self.stage, pod, TOKEN, seconds, keep_alive, procs=self.procs)
                if load["failed"]:
                    raise BenchError(f"{subject.name} answered {load['failed']} requests with an error")
                if load["lost"]:
                    say(f"  note: {subject.name} left {load['lost']} connections of wrk unanswered ({kind})")
                used = cpu_seconds(subject.processes()) - before
                taken[kind] = {"rate": load["rate"], "cpu_us": used / load["requests"] * 1e6}
            # All servers bear the same load: half of what the agent could do in the first round.
            for kind in KINDS:
                self.rates.setdefault(kind, taken[kind]["rate"] / 2)
            for kind, keep_alive in KINDS.items():
                taken[kind]["half"] = self.checked(subject, open_load(
                    pod, TOKEN, self.rates[kind], seconds, keep_alive, 32 if keep_alive else 128, self.procs))
            taken["idle"] = self.checked(subject, open_load(
                pod, "/", 200, idle_seconds, False, procs=self.procs))
        finally:
            subject.stop()
        return taken

    @staticmethod
    def checked(subject, answer):
        lost = answer["errors"] + answer["other_status"] + answer["unfinished"]
        if lost:
            all_of_them = answer["requests"] + answer["unfinished"]
            say(f"  note: {subject.name} left {lost} of {all_of_them} requests unanswered")
        return answer

    def rounds(self, count, seconds, idle_seconds):
        """A B C, B C A, ...: the agent first in the first, because its rate decides the loads of all."""
        measured = {subject.name: [] for subject in self.subjects}
        for number in range(count):
            order = self.subjects[number % len(self.subjects):] + self.subjects[:number % len(self.subjects)]
            for subject in order:
                taken = self.turn(subject, seconds, idle_seconds)
                measured[subject.name].append(taken)
                say(f"  round {number + 1} {subject.name:10} new {taken['new']['rate']:8.0f}/s "
                    f"p99 {taken['new']['half']['p99_us']:6.0f} us   keep-alive {taken['keep']['rate']:8.0f}/s "
                    f"p99 {taken['keep']['half']['p99_us']:6.0f} us   idle p99 {taken['idle']['p99_us']:6.0f} us")
        return measured


def series(measured, subject, *keys):
    """One number of each round."""
    values = []
    for taken in measured[subject]:
        for key in keys:
            taken = taken[key]
        values.append(taken)
    return values


def curve(measured, subject, *keys):
    """The latency distribution: the median of the rounds at each percentile, as [percentile, us]."""
    rounds = series(measured, subject, *keys, "curve")
    return [[points[0][0], statistics.median(point[1] for point in points)] for points in zip(*rounds)]


def base_figures(stage, agent_path, options):
    """Figures 1, 2, 3 and 9, with 10 pods."""
    stage.set_pods(10)
    scene = Scene(stage, agent_path, stage.pods[0], before=options.before)
    try:
        return compared(scene, options)
    finally:
        for subject in scene.subjects:
            if isinstance(subject, Before):
                subject.close()


def compared(scene, options):
    measured = scene.rounds(options.rounds, options.seconds, options.idle_seconds)

    def against_nginx(identifier, what, unit, *keys, name="podidentd", **more):
        return row(identifier, what, unit, series(measured, name, *keys), reference="nginx",
                   reference_values=series(measured, "nginx", *keys), **more)

    figures = {}
    for figure, kind, what, least in (("1", "new", "cached token, new connection", 1.25),
                                      ("2", "keep", "cached token, keep-alive, 32 connections", 0.6)):
        rows = [
            judge(against_nginx(f"{kind}-rate", f"{what}", "requests/s", kind, "rate", target=f">= {least} x nginx"),
                  ratio_at_least=least),
            against_nginx(f"{kind}-floor", f"{what}: bare C loop", "requests/s", kind, "rate", name="floor"),
        ]
        latency = against_nginx(f"{kind}-p99", f"{what}: p99 at half load ({scene.rates[kind]:.0f}/s)", "us", kind,
                                "half", "p99_us", better="lower", tolerance=0.5)
        if kind == "keep":
            latency["target"] = "<= 2000 us"
            judge(latency, at_most=2000)
        rows.append(latency)
        if Before.name in measured:
            rows.insert(1, judge(row(
                f"{kind}-before", what, "requests/s", series(measured, "podidentd", kind, "rate"), reference=Before.name,
                reference_values=series(measured, Before.name, kind, "rate"),
                target=f">= {BEFORE[kind]} x {Before.name}"), ratio_at_least=BEFORE[kind]))
        figures[figure] = {"rows": rows, "curves": {name: curve(measured, name, kind, "half") for name in measured}}
    idle = against_nginx("idle-p99", "GET /, new connection, idle machine: p99", "us", "idle", "p99_us", better="lower",
                         tolerance=0.5, target="< 1000 us")
    figures["3"] = {"rows": [judge(idle, at_most=999.9)],
                    "curves": {name: curve(measured, name, "idle") for name in measured}}
    figures["9"] = {"rows": [
        against_nginx(f"{kind}-cpu", f"processor time a cached request, {what}", "us", kind, "cpu_us", better="lower")
        for kind, what in (("new", "new connection"), ("keep", "keep-alive"))]}
    return figures
