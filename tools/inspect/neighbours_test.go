package main

import (
	"encoding/json"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"alexnet/model"
	"alexnet/tools/cli"
	"alexnet/train/traintest"
)

// hiddenNet is a net with a hidden layer for pictures of 8x8.
func hiddenNet(classes int) *model.Net {
	return &model.Net{Name: "hidden", Input: model.Shape{C: 3, H: 6, W: 6}, Classes: classes, Layers: []model.Layer{
		{Name: "fc1", Kind: model.FC, Out: 20, InitStd: 0.01},
		{Name: "relu1", Kind: model.ReLU},
		{Name: "fc2", Kind: model.FC, Out: classes, InitStd: 0.1},
		{Name: "prob", Kind: model.Softmax},
	}}
}

func TestNeighbours(t *testing.T) {
	dir := t.TempDir()
	if err := (traintest.Data{Classes: 3, Size: 8, Train: 30, Val: 9}).Make(dir); err != nil {
		t.Fatal(err)
	}
	run, file := savedNet(t, hiddenNet(3), 1, []string{"n00000000", "n00000001", "n00000002"})
	work := t.TempDir()
	store, picture := filepath.Join(work, "features"), filepath.Join(work, "n.png")
	status, out, msg := inspect(t, "neighbours", dir, "--checkpoint", run, "--features", store, "--png", picture, "--pictures", "4", "--nearest", "3", "--json")
	if status != cli.Done {
		t.Fatalf("status %d, %s", status, msg)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 4 {
		t.Fatalf("%d lines:\n%s", len(lines), out)
	}
	for i, line := range lines {
		var q neighboured
		if err := json.Unmarshal([]byte(line), &q); err != nil {
			t.Fatal(err)
		}
		if q.Row != i || q.Label != int32(i%3) || len(q.Neighbours) != 3 || q.Class != "n0000000"+string(rune('0'+i%3)) {
			t.Errorf("%+v", q)
		}
		for k, m := range q.Neighbours {
			if m.Label != int32(m.Row%3) || m.Distance <= 0 || k > 0 && m.Distance < q.Neighbours[k-1].Distance {
				t.Errorf("picture %d, neighbour %d: %+v", i, k, m)
			}
		}
	}
	f, err := os.Open(picture)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := png.Decode(f); err != nil {
		t.Error(err)
	}
	// A picture is not its own neighbour, and what is stored serves again.
	if err := os.Chmod(filepath.Join(store, "train-00000000.arrow"), 0o444); err != nil {
		t.Fatal(err)
	}
	status, out, msg = inspect(t, "neighbours", dir, "--checkpoint", file, "--features", store, "--split", "train", "--row", "7", "--row", "2", "--nearest", "2")
	if status != cli.Done || !strings.HasPrefix(out, "train-7 (n00000001)\n") || strings.Count(out, "\n") != 6 || strings.Count(out, "train-7 ") != 1 || !strings.Contains(out, "\ntrain-2 (n00000002)\n") {
		t.Errorf("status %d, %s%s", status, out, msg)
	}
	for want, args := range map[string][]string{
		"--nearest and --batch must be at least 1": {"--nearest", "0"},
		`there is no layer "fc9"`:                  {"--layer", "fc9"},
		`its layer is "fc1" and not "fc2"`:         {"--layer", "fc2"},
		`has no split "test"`:                      {"--from", "test"},
		`split "val" has no row 9`:                 {"--row", "9"},
		"it has no averaged weights":               {"--weights", "average"},
	} {
		args = append([]string{"neighbours", dir, "--checkpoint", run, "--features", store}, args...)
		if status, out, msg := inspect(t, args...); status == cli.Done || out != "" || !strings.Contains(msg, want) {
			t.Errorf("%v: status %d, %s%s, want %q", args, status, out, msg, want)
		}
	}
	// What cannot be is found before the features are computed.
	for want, args := range map[string][]string{
		`split "val" has no row 9`:        {"--row", "9"},
		"--png: creating " + dir + "/no/": {"--png", filepath.Join(dir, "no", "n.png")},
	} {
		fresh := filepath.Join(work, "fresh")
		status, out, msg := inspect(t, append([]string{"neighbours", dir, "--checkpoint", run, "--features", fresh}, args...)...)
		if _, err := os.Stat(fresh); err == nil || status != cli.Failed || out != "" || !strings.Contains(msg, want) {
			t.Errorf("%v: status %d, %s%s, want %q; features: %v", args, status, out, msg, want, err)
		}
	}
	linear, _ := savedNet(t, traintest.Net(3, 6), 1, []string{"n00000000", "n00000001", "n00000002"})
	if status, _, msg := inspect(t, "neighbours", dir, "--checkpoint", linear, "--features", store); status != cli.Failed || !strings.Contains(msg, "net linear has no hidden layer") {
		t.Errorf("a linear net: status %d, %s", status, msg)
	}
}
