"""Measures how fast PyTorch trains the AlexNet of the paper, in every way that makes it
fast, and writes a JSON object a line. gpucheck carries this file and runs it.

    python3 alexnet_torch.py --device cuda --seconds 140

The net is the one of 2012: two towers as grouped convolutions, response normalisation,
dropout; the step is forward, loss, backward and SGD with momentum and weight decay, on a
batch that lies in the device's memory. Ways that are tried: channels_last or not,
PyTorch's own response normalisation or one by a banded 1x1 convolution, the whole step
as a CUDA graph, torch.compile.
"""

import argparse
import contextlib
import json
import signal
import sys
import time


def say(**line):
    print(json.dumps(line), flush=True)


try:
    import torch
    import torch.nn as nn
    import torch.nn.functional as F
except Exception as e:  # a broken installation says many things
    say(missing="no torch to import: %s" % e)
    sys.exit(0)


class Norm(nn.Module):
    """Response normalisation of section 3.3. PyTorch divides alpha by the window."""

    def __init__(self, channels, banded):
        super().__init__()
        self.banded = banded
        if banded:
            # The sum over neighbouring channels as a product with a matrix of a band.
            band = torch.zeros(channels, channels, 1, 1)
            for i in range(channels):
                band[i, max(0, i - 2):i + 3] = 1e-4
            self.register_buffer("band", band)

    def forward(self, x):
        if self.banded:
            return x * (2 + F.conv2d(x * x, self.band.to(x.dtype))).pow(-0.75)
        return F.local_response_norm(x, 5, alpha=5e-4, beta=0.75, k=2.0)


class AlexNet(nn.Module):
    def __init__(self, banded):
        super().__init__()
        self.features = nn.Sequential(
            nn.ZeroPad2d((0, 3, 0, 3)),
            nn.Conv2d(3, 96, 11, stride=4), nn.ReLU(inplace=True), Norm(96, banded), nn.MaxPool2d(3, 2),
            nn.Conv2d(96, 256, 5, padding=2, groups=2), nn.ReLU(inplace=True), Norm(256, banded), nn.MaxPool2d(3, 2),
            nn.Conv2d(256, 384, 3, padding=1), nn.ReLU(inplace=True),
            nn.Conv2d(384, 384, 3, padding=1, groups=2), nn.ReLU(inplace=True),
            nn.Conv2d(384, 256, 3, padding=1, groups=2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2))
        self.classifier = nn.Sequential(
            nn.Linear(256 * 6 * 6, 4096), nn.ReLU(inplace=True), nn.Dropout(0.5),
            nn.Linear(4096, 4096), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Linear(4096, 1000))

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


class Way:
    """A way to train: a net, a batch and a step."""

    def __init__(self, a, precision, batch, last, banded, compiled=None):
        self.a, self.bf16 = a, precision == "bf16"
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
        torch.manual_seed(1)
        layout = torch.channels_last if last else torch.contiguous_format
        self.net = AlexNet(banded).to(a.where).to(memory_format=layout)
        self.model = torch.compile(self.net, mode=compiled) if compiled else self.net
        self.x = torch.randn(batch, 3, 224, 224, device=a.where).mul_(64).to(memory_format=layout)
        self.y = torch.randint(1000, (batch,), device=a.where)
        rule = dict(lr=1e-6, momentum=0.9, weight_decay=5e-4)
        try:  # one kernel for all parameters, where the release has it
            self.optimizer = torch.optim.SGD(self.net.parameters(), fused=a.cuda, **rule)
        except (TypeError, RuntimeError):
            self.optimizer = torch.optim.SGD(self.net.parameters(), **rule)
        self.again = None

    def step(self):
        if self.again:
            self.again.replay()
            return
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.a.kind, dtype=torch.bfloat16, enabled=self.bf16, cache_enabled=False):
            loss = F.cross_entropy(self.model(self.x), self.y)
        loss.backward()
        self.optimizer.step()

    def capture(self):
        """Makes the whole step one graph."""
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self.step()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.step()
        self.again = graph

    def rate(self):
        """Images a second: median, worst and best of the repetitions."""
        n = len(self.y)
        for _ in range(3):
            self.step()
        self.a.sync()
        began = time.perf_counter()
        self.step()
        self.a.sync()
        count = max(2, int(self.a.each / (time.perf_counter() - began)))
        rates = []
        for _ in range(self.a.repetitions):
            began = time.perf_counter()
            for _ in range(count):
                self.step()
            self.a.sync()
            rates.append(n * count / (time.perf_counter() - began))
        rates.sort()
        return rates[len(rates) // 2], rates[0], rates[-1]


@contextlib.contextmanager
def alarm(seconds):
    """Ends what it holds, with an exception, after so many seconds: compilers take long."""
    def ring(*_):
        raise TimeoutError("not done after %.0f s" % seconds)

    if not hasattr(signal, "SIGALRM"):
        yield
        return
    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def measure(a, precision, batch, last, banded, graph=False, compiled=None):
    """Measures a way and says so; 0 if it failed or there was no time."""
    words = ["channels_last" if last else "contiguous", "banded LRN" if banded else "own LRN"]
    words += ["CUDA graph"] * graph + ["torch.compile %s" % compiled] * bool(compiled)
    about = dict(variant=", ".join(words), precision=precision, batch=batch)
    left = a.until - time.perf_counter()
    if left < (15 if compiled else 1):
        say(note="no time was left", **about)
        return 0
    way = None
    try:
        with alarm(min(left, 45)):
            way = Way(a, precision, batch, last, banded, compiled)
            if graph:
                way.capture()
            rate, slowest, fastest = way.rate()
        say(images_per_second=rate, slowest=slowest, fastest=fastest, **about)
        return rate
    except Exception as e:  # of memory, of compilers, of releases: all say why
        say(note="%s: %s" % (type(e).__name__, str(e).strip().split("\n")[0][:160]), **about)
        return 0
    finally:
        del way
        if compiled and hasattr(torch, "_dynamo"):
            torch._dynamo.reset()
        if a.cuda:
            torch.cuda.empty_cache()


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--device", default="cuda")
    p.add_argument("--ordinal", type=int, default=0)
    p.add_argument("--seconds", type=float, default=140)
    p.add_argument("--batches", default="1024,128,256")
    p.add_argument("--precisions", default="bf16,fp32,tf32")
    p.add_argument("--each", type=float, default=0.25, help="seconds a repetition")
    p.add_argument("--repetitions", type=int, default=5)
    a = p.parse_args()
    a.kind, a.cuda = a.device, a.device == "cuda"
    a.until = time.perf_counter() + a.seconds
    if a.cuda and not torch.cuda.is_available():
        say(missing="torch %s finds no GPU" % torch.__version__)
        return
    about = "PyTorch %s" % torch.__version__
    if a.cuda:
        torch.cuda.set_device(a.ordinal)
        cudnn = torch.backends.cudnn.version() or 0
        about += ", CUDA %s, cuDNN %s, on %s" % (torch.version.cuda, cudnn, torch.cuda.get_device_name())
        torch.backends.cudnn.benchmark = True
    a.where = torch.device(a.kind, a.ordinal) if a.cuda else torch.device("cpu")
    a.sync = torch.cuda.synchronize if a.cuda else lambda: None
    say(about=about)

    # What costs little comes first. The best of the simple ways is then tried as a
    # graph and, last, compiled, the larger batches and bf16 before the others.
    batches, chosen = [int(b) for b in a.batches.split(",")], {}
    precisions = [q for q in a.precisions.split(",") if a.cuda or q != "tf32"]
    for precision in precisions:
        ways = [(last, banded) for last in (True, False) for banded in (True, False)]
        middle = sorted(batches)[len(batches) // 2]
        rates = {w: measure(a, precision, middle, *w) for w in ways}
        chosen[precision] = max(ways, key=lambda w: rates[w])
        for batch in batches:
            if a.cuda:
                measure(a, precision, batch, *chosen[precision], graph=True)
            if batch != middle:
                measure(a, precision, batch, *chosen[precision])
    if not (a.cuda and hasattr(torch, "compile")):
        return
    ways = [(q, batch, "reduce-overhead") for q in precisions for batch in batches]
    ways.insert(len(batches), (precisions[0], batches[0], "max-autotune-no-cudagraphs"))
    for precision, batch, mode in ways:
        measure(a, precision, batch, True, chosen[precision][1], compiled=mode)


main()
