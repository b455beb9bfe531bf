"""Writes golden.pth and golden.json beside this script, with PyTorch:

    python3 golden.py       (made with PyTorch 1.13)

A state dict with a plain tensor, a transposed one, two views of one storage with
offsets, half, bfloat16 and double; golden.json has the values that a reader must
find. legacy.pth is a file in the format before PyTorch 1.6, to be refused, and
evil.pth one that would run a program if its pickle were executed.

tiny.pth is the state dict of a small net built like torchvision's alexnet, and
tiny.json what that net says about a picture, normalised as torchvision does.
"""

import json
import os
from collections import OrderedDict

import torch

here = os.path.dirname(os.path.abspath(__file__))
base = torch.arange(40, dtype=torch.float32) / 8
state = OrderedDict(
    [
        ("features.0.weight", torch.linspace(-1, 1, 2 * 3 * 3 * 3).reshape(2, 3, 3, 3)),
        ("features.0.bias", base[3:5]),
        ("transposed", base[8:20].reshape(4, 3).t()),
        ("every.second", base[20::2]),
        ("half", torch.tensor([1.5, -0.0, 6.1e-5, 5.96e-8, 65504.0, float("inf")], dtype=torch.float16)),
        ("bfloat16", torch.tensor([1.5, -2.25, 1e30], dtype=torch.bfloat16)),
        ("double", torch.tensor([[0.1, 1e-3]], dtype=torch.float64)),
        ("scalar", torch.tensor(7.0)),
        ("empty", torch.zeros(0, 3)),
    ]
)
module = torch.nn.Linear(1, 1).state_dict()
state._metadata = module._metadata  # as a module's state dict has it


class Evil:
    def __reduce__(self):
        return os.system, ("touch executed-by-a-pickle",)


torch.save(state, os.path.join(here, "golden.pth"))
torch.save({"a": base[:2]}, os.path.join(here, "legacy.pth"), _use_new_zipfile_serialization=False)
torch.save({"a": Evil()}, os.path.join(here, "evil.pth"))
values = {k: {"shape": list(v.shape), "bits": v.float().contiguous().view(torch.int32).flatten().tolist() if v.dim() else
              v.float().reshape(1).view(torch.int32).tolist()} for k, v in state.items()}
with open(os.path.join(here, "golden.json"), "w") as f:
    json.dump(values, f, indent=1)
    f.write("\n")

torch.manual_seed(1)
nn = torch.nn
net = nn.Module()
net.features = nn.Sequential(
    nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Conv2d(4, 6, 3, padding=1), nn.ReLU()
)
net.classifier = nn.Sequential(nn.Dropout(0.5), nn.Linear(6 * 3 * 3, 8), nn.ReLU(), nn.Dropout(0.25), nn.Linear(8, 5))
torch.save(net.state_dict(), os.path.join(here, "tiny.pth"))
net.eval()
pixels = (torch.arange(3 * 13 * 13) * 37 % 251).float().reshape(1, 3, 13, 13)
mean = torch.tensor([0.485, 0.456, 0.406]).reshape(1, 3, 1, 1)
deviation = torch.tensor([0.229, 0.224, 0.225]).reshape(1, 3, 1, 1)
with torch.no_grad():
    x = (pixels / 255 - mean) / deviation
    logits = net.classifier(net.features(x).flatten(1))[0]
    first = net.features[0](x)[0]
with open(os.path.join(here, "tiny.json"), "w") as f:
    json.dump({"logits": logits.tolist(), "conv1": [round(v, 5) for v in first.flatten().tolist()]}, f)
    f.write("\n")
