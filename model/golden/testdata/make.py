#!/usr/bin/env python3
"""Makes the goldens of this folder, which package golden compares engines with.

PyTorch computes them, in float64, so that their own rounding does not count. Only
the layers are PyTorch's: the update rule is the paper's, written out below, and
torch.optim.SGD is run beside it to show where the two part. The nets are written
down here once more, not taken from the Go code.

    OMP_NUM_THREADS=1 python3 make.py            the small nets
    OMP_NUM_THREADS=1 python3 make.py alexnet    the paper's net (1.5 GB, half a minute)

or the names of some nets. It needs torch (made with 1.13) and numpy; for alexnet
also Go, which draws the initial weights into a temporary file.

Weights and images are not stored: they are drawn by Philox4x32-10, whose words
Python and Go compute alike. A golden is a JSON object:

    net           model.Net; the alpha of its LRN layers is that of the convention
    convention    of alpha: "paper" multiplies the sum of squares by alpha; "caffe"
                  (PyTorch and ONNX as well) and "as-run" (cuda-convnet, 2012)
                  multiply it by alpha/n, within channels by alpha/n^2
    init          "philox": weights as in draw_params; "net": Net.Init(seed)
    seed          of weights, images and dropout masks
    stream        of the first batch's images, those of the others follow
    batch         the engine's batch
    pixel         images are uniform in +-pixel
    labels        of each batch; -1 marks an image without one
    logits        of the first batch, without dropout
    step          the step of loss and gradients
    loss          sum of the first batch's cross-entropies, with dropout
    gradients     of the mean loss of the images with a label, by parameter: the norm,
                  and all values, or if these are many a sketch and some samples (see
                  gradient)
    rates, momentum, weight_decay
                  of each training step; step s takes batch s modulo their number
    losses        of the training steps
    sgd_losses    what torch.optim.SGD makes of the same steps

The last layer's weights and bias of class 0 are zero, so that its logit is 0, and
that of class j is log(p[j]/p[0]): an engine only tells probabilities.
"""

import json
import math
import os
import struct
import subprocess
import sys
import tempfile

import numpy as np
import torch
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
FULL_VALUES = 600  # a gradient with more values is sketched
BUCKETS = 128      # of a sketch
NEAREST = 2e-6     # from a kink: float32's own rounding is about a tenth of that
GOLDEN_KEY = 0x676F6C64

# Random numbers.


def philox(c0, c1, c2, c3, k0, k1):
    """Philox4x32-10 of Salmon, Moraes, Dror and Shaw (2011), for an array of c0."""
    low = np.uint64(0xFFFFFFFF)
    c = [np.asarray(c0, np.uint64)] + [np.full(len(c0), v, np.uint64) for v in (c1, c2, c3)]
    for i in range(10):
        r0 = np.uint64((k0 + i * 0x9E3779B9) & 0xFFFFFFFF)
        r1 = np.uint64((k1 + i * 0xBB67AE85) & 0xFFFFFFFF)
        a = c[0] * np.uint64(0xD2511F53)
        b = c[2] * np.uint64(0xCD9E8D57)
        c = [(b >> np.uint64(32)) ^ c[1] ^ r0, b & low, (a >> np.uint64(32)) ^ c[3] ^ r1, a & low]
    return np.stack(c, axis=1).reshape(-1)


# A known answer, published with the generator.
assert [hex(w) for w in philox([0x243F6A88], 0x85A308D3, 0x13198A2E, 0x03707344, 0xA4093822, 0x299F31D0)] == [
    "0xd16cfe09", "0x94fdcceb", "0x5001e420", "0x24126ea1"]


def words(first, count, stream, seed):
    """The words at positions first (a multiple of four) and on of a golden's stream."""
    return philox(np.arange(first // 4, (first + count + 3) // 4), stream, 0, 0, seed, GOLDEN_KEY)[:count]


def uniform(count, stream, seed, mean, scale):
    """Numbers in mean +- scale, rounded to float32 as the engine gets them."""
    u = (words(0, count, stream, seed).astype(np.float64) + 0.5) / 2**31 - 1
    return (mean + scale * u).astype(np.float32).astype(np.float64)


def dropout_mask(count, seed, step, layer, rate):
    """The engine's masks: a position is zeroed if its word is less than rate*2^32."""
    lo, hi = step & 0xFFFFFFFF, step >> 32
    w = philox(np.arange((count + 3) // 4), layer, lo, hi, seed & 0xFFFFFFFF, seed >> 32)[:count]
    return (w >= round(rate * 2**32)).astype(np.float64)


# Nets.


def lrn(x, layer, convention):
    n, alpha, beta, k = layer["size"], layer["alpha"], layer["beta"], layer["k"]
    if layer.get("groups", 1) > 1:
        parts = x.chunk(layer["groups"], dim=1)
        return torch.cat([lrn(part, dict(layer, groups=1), convention) for part in parts], dim=1)
    if convention == "paper":
        # The formula of section 3.3, channel by channel.
        squares, rows = x * x, []
        for c in range(x.shape[1]):
            around = squares[:, max(0, c - n // 2):c + n // 2 + 1].sum(dim=1)
            rows.append(x[:, c] / (k + alpha * around) ** beta)
        y = torch.stack(rows, dim=1)
        # The same in PyTorch's convention.
        assert torch.allclose(y, F.local_response_norm(x, n, alpha * n, beta, k), rtol=1e-12, atol=0)
        return y
    return F.local_response_norm(x, n, alpha, beta, k)


def lrn_within(x, layer, convention):
    """PyTorch has no such layer; the mean of the squares, zeros around the map
    counted, is their sum over the window's area."""
    n, alpha = layer["size"], layer["alpha"]
    if convention == "paper":
        alpha *= n * n
    mean = F.avg_pool2d(x * x, n, stride=1, padding=n // 2, count_include_pad=True)
    return x / (layer["k"] + alpha * mean) ** layer["beta"]


def forward(case, params, x, step=None, kinks=None):
    """The logits; with dropout's masks of a step, or scaled as for prediction.

    kinks, a list, gets the layers that have kinks, with their inputs and outputs.
    """
    p = 0
    for i, l in enumerate(case["net"]["layers"]):
        kind, before = l["kind"], x
        if kind in ("conv", "fc"):
            w, b = params[p], params[p + 1]
            p += 2
        if kind == "conv":
            a, e = l.get("pad", 0), l.get("pad", 0) + l.get("pad_end", 0)
            x = F.conv2d(F.pad(x, (a, e, a, e)), w, b, stride=l["stride"], groups=l.get("groups", 1))
        elif kind == "fc":
            x = F.linear(x.flatten(1), w, b)
        elif kind == "relu":
            x = F.relu(x)
        elif kind == "tanh":
            x = torch.tanh(x)
        elif kind == "lrn":
            x = lrn(x, l, case["convention"])
        elif kind == "lrn_within_channel":
            x = lrn_within(x, l, case["convention"])
        elif kind == "maxpool":
            x = F.max_pool2d(x, l["kernel"], l["stride"], ceil_mode=l.get("ceil", False))
        elif kind == "dropout":
            rate = l.get("rate", 0)
            if step is None:
                x = x * (1 - rate)
            else:
                mask = dropout_mask(x.numel(), case["seed"], step, i, rate)
                x = x * torch.from_numpy(mask).view(x.shape)
        if kinks is not None and kind in ("relu", "maxpool"):
            x.retain_grad()
            kinks.append((l, before.detach(), x))
    return x


def specs(net):
    """Name, shape, deviation, mean and multipliers of each parameter."""
    out, x = [], torch.zeros(1, net["input"]["c"], net["input"]["h"], net["input"]["w"])
    for l in net["layers"]:
        if l["kind"] in ("conv", "fc"):
            shape = [l["out"], x[0].numel()]
            if l["kind"] == "conv":
                shape = [l["out"], x.shape[1] // l.get("groups", 1), l["kernel"], l["kernel"]]
            out.append((l["name"] + ".weight", shape, l["init_std"], 0, 1, 1))
            out.append((l["name"] + ".bias", [l["out"]], 0, l.get("init_bias", 0),
                        l.get("bias_lr_mult", 1), 0 if l.get("bias_no_decay") else 1))
        if l["kind"] == "fc":
            x = torch.zeros(1, l["out"], 1, 1)
        elif l["kind"] == "conv":
            h, w = ((s + 2 * l.get("pad", 0) + l.get("pad_end", 0) - l["kernel"]) // l["stride"] + 1
                    for s in x.shape[2:])
            x = torch.zeros(1, l["out"], h, w)
        elif l["kind"] == "maxpool":
            x = F.max_pool2d(x, l["kernel"], l["stride"], ceil_mode=l.get("ceil", False))
    return out


def draw_params(case):
    """Weights uniform with the layer's deviation, biases in +-0.1 around its bias."""
    params = []
    for i, (name, shape, std, mean, _, _) in enumerate(specs(case["net"])):
        scale = std * math.sqrt(3) if name.endswith(".weight") else 0.1
        v = uniform(math.prod(shape), i, case["seed"], mean, scale).reshape(shape)
        params.append(v)
    return [finish(v, i >= len(params) - 2) for i, v in enumerate(params)]


def go_params(case):
    """Net.Init(seed), by way of a file."""
    with tempfile.TemporaryDirectory() as tmp:
        path = os.path.join(tmp, "init.safetensors")
        subprocess.run(["go", "test", "-count=1", "-run", "^TestGoldenExport$", ".", "-golden-export", path],
                       cwd=os.path.join(HERE, ".."), check=True)
        with open(path, "rb") as f:
            header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
            data = np.fromfile(f, "<f4")
    params, all_specs = [], specs(case["net"])
    for i, (name, shape, *_) in enumerate(all_specs):
        t = header[name]
        assert t["shape"] == shape, (name, t["shape"], shape)
        v = data[t["data_offsets"][0] // 4:t["data_offsets"][1] // 4].astype(np.float64).reshape(shape)
        params.append(finish(v, i >= len(all_specs) - 2))
    print(case["net"]["name"], sum(p.numel() for p in params), "parameters")
    return params


def finish(v, last):
    if last:
        v[0] = 0  # the logit of class 0 is 0
    return torch.from_numpy(v).requires_grad_()


def draw_batch(case, i):
    net, labels = case["net"], case["labels"][i]
    shape = [len(labels), net["input"]["c"], net["input"]["h"], net["input"]["w"]]
    images = uniform(math.prod(shape), case["stream"] + i, case["seed"], 0, case["pixel"]).reshape(shape)
    return torch.from_numpy(images), torch.tensor(labels)


def counted(batch):
    """What the mean loss is divided by: images with a label, as in PyTorch's own mean."""
    return int((batch[1] >= 0).sum())


def loss_of(case, params, batch, step):
    images, labels = batch
    return F.cross_entropy(forward(case, params, images, step), labels, ignore_index=-1, reduction="sum")


# Training.


def train_paper(case, start):
    """Section 5: v <- 0.9 v - 0.0005 lr w - lr g, w <- w + v."""
    params = [p.detach().clone().requires_grad_() for p in start]
    velocity = [torch.zeros_like(p) for p in params]
    batches = [draw_batch(case, i) for i in range(len(case["labels"]))]
    losses = []
    for s, rate in enumerate(case["rates"]):
        batch = batches[s % len(batches)]
        loss = loss_of(case, params, batch, s)
        losses.append(loss.item())
        grads = torch.autograd.grad(loss / counted(batch), params)
        with torch.no_grad():
            for w, v, g, spec in zip(params, velocity, grads, specs(case["net"])):
                lr, decay = rate * spec[4], case["weight_decay"] * spec[5]
                v.copy_(case["momentum"] * v - decay * lr * w - lr * g)
                w += v
    return losses


def train_sgd(case, start):
    """PyTorch's own rule, whose learning rate stands outside of the velocity."""
    params = [p.detach().clone().requires_grad_() for p in start]
    groups = [{"params": [p], "lr": spec[4], "weight_decay": case["weight_decay"] * spec[5]}
              for p, spec in zip(params, specs(case["net"]))]
    optimizer = torch.optim.SGD(groups, lr=1, momentum=case["momentum"])
    batches = [draw_batch(case, i) for i in range(len(case["labels"]))]
    losses = []
    for s, rate in enumerate(case["rates"]):
        batch = batches[s % len(batches)]
        for group, spec in zip(optimizer.param_groups, specs(case["net"])):
            group["lr"] = rate * spec[4]
        loss = loss_of(case, params, batch, s)
        losses.append(loss.item())
        optimizer.zero_grad()
        (loss / counted(batch)).backward()
        optimizer.step()
    return losses


# Goldens.


def short(v):
    """Nine digits: more than float32 has."""
    return float("%.9g" % v)


def margin(case, params, batch, step):
    """How near the net is to a kink: the smallest distance of an input of a ReLU to
    zero, or of the two largest values of a pooling's window to each other, over the
    root mean square of the layer's input, where a gradient passes."""
    kinks, smallest = [], math.inf
    images, labels = batch
    F.cross_entropy(forward(case, params, images, step, kinks), labels, ignore_index=-1).backward()
    for p in params:
        p.grad = None
    for l, x, y in kinks:
        if l["kind"] == "relu":
            distance = x.abs()
        else:
            k, s = l["kernel"], l["stride"]
            over = [max(0, (o - 1) * s + k - i) for o, i in zip(y.shape[2:], x.shape[2:])]
            padded = F.pad(x, (0, over[1], 0, over[0]), value=-1e300)
            windows = padded.unfold(2, k, s).unfold(3, k, s)[:, :, :y.shape[2], :y.shape[3]].flatten(4)
            top = windows.topk(2, dim=4).values
            distance = top[..., 0] - top[..., 1]
            # Zeros of a ReLU before, which stops the gradient, are no kink.
            distance[(distance == 0) & (top[..., 0] == 0)] = math.inf
        distance = distance[y.grad != 0]
        if len(distance):
            smallest = min(smallest, (distance.min() / x.pow(2).mean().sqrt()).item())
    return smallest


def gradient(g):
    """A gradient's norm, and its values or a sketch of them.

    A sketch adds each value, with a random sign, to a random one of BUCKETS numbers:
    bucket word%BUCKETS, negative if word >= 2^31. The distance of two sketches is
    that of the gradients, within a few percent, whatever the difference is.
    """
    g = g.detach().reshape(-1).numpy()
    out = {"norm": short(np.linalg.norm(g))}
    if len(g) <= FULL_VALUES:
        out["values"] = [short(v) for v in g]
        return out
    sketch, step = np.zeros(BUCKETS), 1 << 20
    for i in range(0, len(g), step):
        part = g[i:i + step]
        w = words(i, len(part), 0xFFFFFFFF, 0)
        signs = np.where(w >= np.uint64(1 << 31), -1.0, 1.0)
        sketch += np.bincount((w % np.uint64(BUCKETS)).astype(np.int64), weights=part * signs, minlength=BUCKETS)
    out["sketch"] = [short(v) for v in sketch]
    at = np.unique(words(0, 8, 0xFFFFFFFE, 0) * np.uint64(len(g)) >> np.uint64(32)).astype(np.int64)
    out["at"], out["samples"] = [int(i) for i in at], [short(g[i]) for i in at]
    return out


def make(case):
    params = go_params(case) if case["init"] == "net" else draw_params(case)
    batch = draw_batch(case, 0)
    with torch.no_grad():
        logits = forward(case, params, batch[0])
    loss = loss_of(case, params, batch, case["step"])
    grads = torch.autograd.grad(loss / counted(batch), params)
    near = margin(case, params, batch, case["step"])
    assert near > NEAREST, "%s: %.2g from a kink: take another stream" % (case["net"]["name"], near)
    out = dict(case)
    out["logits"] = [[short(v) for v in row] for row in logits]
    out["loss"] = short(loss.item())
    out["gradients"] = {spec[0]: gradient(g) for spec, g in zip(specs(case["net"]), grads)}
    if case["rates"]:
        losses, sgd = train_paper(case, params), train_sgd(case, params)
        # The rules are the same while the learning rate is, and for the step after.
        change = next(s for s, r in enumerate(case["rates"]) if r != case["rates"][0])
        assert np.allclose(losses[:change + 1], sgd[:change + 1], rtol=1e-12), (losses, sgd)
        out["losses"], out["sgd_losses"] = [short(v) for v in losses], [short(v) for v in sgd]
        print(case["net"]["name"], "losses", " ".join("%.5g" % v for v in losses), "| SGD", "%.5g" % sgd[-1])
    print(case["net"]["name"], "largest logit %.3g, nearest kink %.2g" % (logits.abs().max(), near))
    write(out)


def write(golden):
    """One line for each entry, so that a difference can be read."""
    def line(v):
        return json.dumps(v, separators=(",", ":"))

    with open(os.path.join(HERE, golden["net"]["name"] + ".json"), "w", newline="\n") as f:
        entries = []
        for key, v in golden.items():
            if key == "gradients":
                rows = ",\n".join("  %s: %s" % (line(n), line(g)) for n, g in v.items())
                entries.append('"gradients": {\n%s\n}' % rows)
            else:
                entries.append("%s: %s" % (line(key), line(v)))
        f.write("{\n" + ",\n".join(entries) + "\n}\n")


# The nets. None of these helpers knows a default: a field that is not given is absent.


def layer(kind):
    return lambda name, **fields: {"name": name, "kind": kind, **fields}


conv, relu, norm, pool, drop, fc, softmax = map(layer, ("conv", "relu", "lrn", "maxpool", "dropout", "fc", "softmax"))
norm_within = layer("lrn_within_channel")


def net(name, c, h, w, classes, *layers):
    return {"name": name, "input": {"c": c, "h": h, "w": w}, "classes": classes, "layers": list(layers)}


def labels_for(sizes, classes, seed, unlabelled=()):
    rows = []
    for i, n in enumerate(sizes):
        rows.append([int(w) * classes >> 32 for w in words(0, n, 2000 + i, seed)])
    for i, j in unlabelled:
        rows[i][j] = -1
    return rows


def case(net, convention="paper", init="philox", seed=1, stream=1000, batch=11, pixel=2.0, sizes=(11, 11, 5),
         unlabelled=((0, 3),), step=7, rate=0.02, steps=10):
    return {"net": net, "convention": convention, "init": init, "seed": seed, "stream": stream, "batch": batch,
            "pixel": pixel, "labels": labels_for(sizes, net["classes"], seed, unlabelled), "step": step,
            "momentum": 0.9, "weight_decay": 0.0005,
            "rates": [rate] * min(steps, 5) + [rate / 10] * max(steps - 5, 0)}


def paper_order():
    """AlexNet's own sequence of layers, in miniature."""
    n = dict(size=5, alpha=0.05, beta=0.75, k=2)
    return net("paper-order", 3, 43, 37, 6,
               conv("conv1", out=8, kernel=5, stride=2, pad_end=1, init_std=0.12), relu("relu1"), norm("norm1", **n),
               pool("pool1", kernel=3, stride=2),
               conv("conv2", out=12, kernel=5, stride=1, pad=2, groups=2, init_std=0.15, init_bias=0.2),
               relu("relu2"), norm("norm2", **n), pool("pool2", kernel=3, stride=2, ceil=True),
               conv("conv3", out=10, kernel=3, stride=1, pad=1, init_std=0.15), relu("relu3"),
               conv("conv4", out=8, kernel=3, stride=1, pad=1, groups=2, init_std=0.25, init_bias=0.2), relu("relu4"),
               conv("conv5", out=6, kernel=3, stride=1, pad=1, groups=2, init_std=0.25, init_bias=0.2), relu("relu5"),
               pool("pool5", kernel=3, stride=2, ceil=True),
               fc("fc6", out=20, init_std=0.5, init_bias=0.2), relu("relu6"), drop("drop6"),
               fc("fc7", out=16, init_std=0.3, init_bias=0.2), relu("relu7"), drop("drop7"),
               fc("fc8", out=6, init_std=0.4), softmax("prob"))


def caffe_order():
    """CaffeNet's: pooling, rounded up, before the normalisation, and its biases."""
    b = dict(init_bias=0.1, bias_lr_mult=2, bias_no_decay=True)
    return net("caffe-order", 2, 18, 22, 5,
               conv("conv1", out=8, kernel=5, stride=2, pad=1, init_std=0.3, **b), relu("relu1"),
               pool("pool1", kernel=3, stride=2, ceil=True), norm("norm1", size=5, alpha=0.5, beta=0.75, k=1),
               conv("conv2", out=10, kernel=3, stride=1, pad=1, groups=2, init_std=0.4, **b), relu("relu2"),
               pool("pool2", kernel=3, stride=2, ceil=True), norm("norm2", size=3, alpha=0.5, beta=0.75, k=1),
               fc("fc3", out=12, init_std=0.4, **b), relu("relu3"), fc("fc4", out=5, init_std=0.4, **b),
               softmax("prob"))


def as_run_order():
    """The order of 2012's program: conv1 is linear up to its pooling, conv2 is not, and
    is normalised a second time. Normalisation stays within a tower."""
    n = dict(size=5, alpha=0.5, beta=0.75, k=2, groups=2)
    return net("as-run-order", 3, 20, 20, 7,
               conv("conv1", out=8, kernel=5, stride=2, pad_end=2, init_std=0.2), norm("norm1", **n),
               pool("pool1", kernel=3, stride=2), relu("relu1"),
               conv("conv2", out=8, kernel=5, stride=1, pad=2, groups=2, init_std=0.2, init_bias=1, bias_lr_mult=2,
                    bias_no_decay=True),
               relu("relu2"), norm("norm2", **n), norm_within("spatial2", size=5, alpha=2, beta=0.75, k=1),
               pool("pool2", kernel=3, stride=2), fc("fc3", out=7, init_std=0.3), softmax("prob"))


def odd_shapes():
    """What AlexNet does not have, but Net has."""
    return net("odd-shapes", 3, 17, 14, 4,
               conv("conv1", out=9, kernel=4, stride=3, pad=2, pad_end=1, groups=3, init_std=0.4),
               norm("norm1", size=7, alpha=0.1, beta=0.5, k=1),
               conv("conv2", out=6, kernel=1, stride=1, init_std=0.4),
               conv("conv3", out=6, kernel=2, stride=1, init_std=0.3),
               pool("pool3", kernel=2, stride=1), relu("relu3"),
               conv("conv4", out=4, kernel=3, stride=2, pad=1, groups=2, init_std=0.4),
               norm("norm4", size=1, alpha=0.1, beta=1.25, k=1), pool("pool4", kernel=2, stride=2, ceil=True),
               fc("fc5", out=4, init_std=0.5), softmax("prob"))


def hyperbolic():
    """Tanh where AlexNet has ReLUs."""
    n = paper_order()
    n["name"] = "tanh"
    for l in n["layers"]:
        if l["kind"] == "relu":
            l.update(name=l["name"].replace("relu", "tanh"), kind="tanh")
    return n


def dropout():
    """Masks that are a function of seed, step, layer and position."""
    return net("dropout", 2, 9, 11, 5,
               conv("conv1", out=6, kernel=3, stride=2, init_std=0.4), relu("relu1"), drop("drop1", rate=0.25),
               fc("fc2", out=15, init_std=0.3), relu("relu2"), drop("drop2", rate=0.5),
               fc("fc3", out=13, init_std=0.5), drop("drop3", rate=0.3), fc("fc4", out=5, init_std=0.5),
               softmax("prob"))


def alexnet(classes=1000):
    """The paper's net; 224 pixels and three rows of zeros give conv1's 55x55."""
    n = dict(size=5, alpha=1e-4, beta=0.75, k=2)
    s = dict(init_std=0.01)
    b = dict(init_std=0.01, init_bias=1)
    return net("alexnet", 3, 224, 224, classes,
               conv("conv1", out=96, kernel=11, stride=4, pad_end=3, **s), relu("relu1"), norm("norm1", **n),
               pool("pool1", kernel=3, stride=2),
               conv("conv2", out=256, kernel=5, stride=1, pad=2, groups=2, **b), relu("relu2"), norm("norm2", **n),
               pool("pool2", kernel=3, stride=2),
               conv("conv3", out=384, kernel=3, stride=1, pad=1, **s), relu("relu3"),
               conv("conv4", out=384, kernel=3, stride=1, pad=1, groups=2, **b), relu("relu4"),
               conv("conv5", out=256, kernel=3, stride=1, pad=1, groups=2, **b), relu("relu5"),
               pool("pool5", kernel=3, stride=2),
               fc("fc6", out=4096, **b), relu("relu6"), drop("drop6", rate=0.5),
               fc("fc7", out=4096, **b), relu("relu7"), drop("drop7", rate=0.5),
               fc("fc8", out=classes, **s), softmax("prob"))


def alexnet_small():
    """The narrow sibling, without dropout."""
    n = alexnet(10)
    n["name"], n["input"] = "alexnet-small", {"c": 3, "h": 64, "w": 64}
    width = dict(conv1=32, conv2=64, conv3=96, conv4=96, conv5=64, fc6=256, fc7=256, fc8=10)
    inputs = dict(conv1=3 * 25, conv2=16 * 25, conv3=64 * 9, conv4=48 * 9, conv5=48 * 9, fc6=64 * 9, fc7=256, fc8=256)
    for l in n["layers"]:
        if l["kind"] == "dropout":
            del l["rate"]
        if l["name"] == "conv1":
            l.update(kernel=5, stride=2, pad_end=1)
        if l["name"] in width:
            l.update(out=width[l["name"]], init_std=0.6 * math.sqrt(2 / inputs[l["name"]]))
            l.pop("init_bias", None)
    return n


# Where a net has many units, one is often so near to a kink, that is a ReLU at zero
# or two equal maxima, that float32 and float64 go different ways and gradients
# differ by a thousandth. Streams of images were tried until none was.
CASES = [
    case(paper_order(), seed=11, stream=1050, rate=0.006),
    case(caffe_order(), convention="caffe", seed=12, batch=19, sizes=(19, 8, 1), unlabelled=((0, 17),)),
    case(as_run_order(), convention="as-run", seed=13, batch=9, sizes=(9, 3)),
    case(odd_shapes(), seed=14, batch=10, sizes=(10, 7)),
    case(dropout(), seed=15, step=(1 << 33) + 5, rate=0.005),
    case(hyperbolic(), seed=18, rate=0.012),
    case(alexnet_small(), seed=16, stream=1080, batch=10, pixel=100.0, sizes=(10, 4), unlabelled=((0, 8),), rate=0.005),
    case(alexnet(), init="net", seed=17, stream=1500, batch=2, pixel=100.0, sizes=(2,), unlabelled=(), steps=0),
]


def main():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    names = sys.argv[1:] or [c["net"]["name"] for c in CASES if c["init"] != "net"]
    for c in CASES:
        if c["net"]["name"] in names:
            make(c)


if __name__ == "__main__":
    main()
