package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"alexnet/pipeline"
	"alexnet/records"
)

// smallRecords makes up records in a folder of the test's own.
func smallRecords(t *testing.T, size int) string {
	t.Helper()
	dir := t.TempDir()
	if err := makeUpRecords(dir, "train", size, records.Uint8, records.None, 3); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestPacked measures stages on compressed records, which noise does not make
// smaller, with and without a cache.
func TestPacked(t *testing.T) {
	dir := t.TempDir()
	if err := makeUpRecords(dir, "train", 66, records.Int16, records.LZ4, 3); err != nil {
		t.Fatal(err)
	}
	for _, cache := range []string{"0", "1MB", "1kB"} {
		status, stdout, stderr := run(t, "--records", dir, "--stage", "read,augment,stream", "--dtype", "stored", "--batch", "32",
			"--time", "10ms", "--net", "alexnet-small", "--cache="+cache, "--json")
		got := results(t, stdout)
		if status != 0 || len(got) != 3 || got[0].Note != "3x66x66 int16 lz4" || got[2].Stage != "stream" || got[2].Moved != 2*2*3*64*64 {
			t.Errorf("--cache %s: status %d, %s, %s", cache, status, stderr, stdout)
		}
	}
	if status, stdout, stderr := run(t, "--records", dir, "--check-epoch"); status != 0 || strings.Count(stdout, "same\n") != 4 {
		t.Errorf("status %d, %s, %s", status, stderr, stdout)
	}
}

// worldLines parses the lines of --check-epoch --json.
func worldLines(t *testing.T, stdout string) []worldCheck {
	t.Helper()
	var list []worldCheck
	for line := range strings.Lines(stdout) {
		var w worldCheck
		if err := json.Unmarshal([]byte(line), &w); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		list = append(list, w)
	}
	return list
}

func TestCheckEpoch(t *testing.T) {
	dir := smallRecords(t, 8)
	for _, more := range [][]string{nil, {"--shuffle", "block", "--window", "300"}, {"--shuffle", "block"}, {"--batch", "4096"}} {
		args := append([]string{"--records", dir, "--check-epoch"}, more...)
		status, stdout, stderr := run(t, append(args, "--json")...)
		got := worldLines(t, stdout)
		if status != 0 || len(got) != 4 {
			t.Fatalf("%v: status %d, %s, %s", more, status, stderr, stdout)
		}
		for i, w := range got {
			if w.World != worlds[i] || !w.Same || w.Digest != w.Want || w.Order != w.WantOrder || w.Order != got[0].Order ||
				w.Records != int64(madeUpRows(66, records.Uint8)) || len(w.Skipped) != 0 {
				t.Errorf("%v: %+v", more, w)
			}
		}
		status, stdout, _ = run(t, append(args, "--world", "5")...)
		if status != 0 || strings.Count(stdout, "same\n") != 1 || strings.Count(stdout, got[0].Digest) != 3 || strings.Count(stdout, got[0].Order) != 2 {
			t.Errorf("%v: status %d, %s", more, status, stdout)
		}
	}
}

// damage changes a pixel of row 77.
func damage(t *testing.T, dir string) {
	t.Helper()
	path := filepath.Join(dir, records.ShardName("train", 0, 1))
	shard, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	ds, err := records.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	split, err := ds.OpenSplit("train")
	if err != nil {
		t.Fatal(err)
	}
	row, err := split.Row(77, nil)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(shard, row.U8)
	if err := split.Close(); err != nil || at < 0 {
		t.Fatal(err, at)
	}
	shard[at] ^= 1
	write(t, path, shard)
}

// TestDamaged measures stages on records of which one is damaged.
func TestDamaged(t *testing.T) {
	dir := smallRecords(t, 66)
	damage(t, dir)
	for _, stage := range []string{"read", "augment", "stream"} {
		args := []string{"--records", dir, "--stage", stage, "--net", "alexnet-small", "--json"}
		if status, _, stderr := run(t, append(args, "--time", "5s")...); status != 1 || !strings.Contains(stderr, "bench: "+stage+": ") || !strings.Contains(stderr, "row 77") {
			t.Errorf("%s: status %d, %s", stage, status, stderr)
		}
		status, stdout, stderr := run(t, append(args, "--time", "50ms", "--on-corrupt", "skip")...)
		if got := results(t, stdout); status != 0 || len(got) != 1 || got[0].Images < 1 {
			t.Errorf("%s: status %d, %s, %s", stage, status, stderr, stdout)
		}
	}
}

// TestCheckEpochDamaged: a damaged record is skipped, or stops it.
func TestCheckEpochDamaged(t *testing.T) {
	dir := smallRecords(t, 8)
	damage(t, dir)
	args := []string{"--records", dir, "--check-epoch"}
	status, stdout, stderr := run(t, append(args, "--json")...)
	if status != 1 || stdout != "" || !strings.Contains(stderr, "check-epoch: world 1: rank 0: pipeline: epoch 0") {
		t.Errorf("status %d, %s, %s", status, stderr, stdout)
	}
	args = append(args, "--on-corrupt", "skip")
	status, stdout, stderr = run(t, append(args, "--json")...)
	got := worldLines(t, stdout)
	if status != 0 || len(got) != 4 {
		t.Fatalf("status %d, %s, %s", status, stderr, stdout)
	}
	for _, w := range got {
		if !w.Same || w.Records != int64(madeUpRows(66, records.Uint8))-1 || len(w.Skipped) != 1 || w.Skipped[0].Index != 77 || !strings.Contains(w.Skipped[0].Error, "train-") {
			t.Errorf("%+v", w)
		}
	}
	_, stdout, _ = run(t, args...)
	if strings.Count(stdout, "same, 1 skipped\n") != 4 || !strings.Contains(stdout, "1 records skipped") || !strings.Contains(stdout, "record 77 of split") {
		t.Errorf("table:\n%s", stdout)
	}
}

// TestCheckEpochMissingShard loses all keys of a shard.
func TestCheckEpochMissingShard(t *testing.T) {
	dir := smallRecords(t, 8)
	if err := os.Remove(filepath.Join(dir, records.ShardName("train", 0, 1))); err != nil {
		t.Fatal(err)
	}
	status, stdout, stderr := run(t, "--records", dir, "--check-epoch", "--on-corrupt", "skip", "--world", "2", "--json")
	got := worldLines(t, stdout)
	if status != 0 || len(got) != 1 || !got[0].Same || got[0].Records != 0 || len(got[0].Skipped) != madeUpRows(66, records.Uint8) {
		t.Errorf("status %d, %s, %.300s", status, stderr, stdout)
	}
}

// TestDifferences gives a world something else to be compared with.
func TestDifferences(t *testing.T) {
	dir := smallRecords(t, 8)
	var out bytes.Buffer
	f := &flags{Records: dir, Split: "train", Stage: []string{"all"}, Net: "alexnet", Batch: 64, Size: 256, Pixels: "int16", Dtype: "float32", stdout: &out, CheckEpoch: true}
	b, err := newBench(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	for name, spoil := range map[string]func(e *epochCheck){
		"the records are ":                      func(e *epochCheck) { e.keys.Sum++ },
		"the order is ":                         func(e *epochCheck) { e.order++ },
		"not the same 1 records are skipped as": func(e *epochCheck) { e.first = &worldCheck{World: 1, Skipped: []skipped{{5, "x"}}} },
	} {
		e := &epochCheck{bench: b}
		if err := e.expect(); err != nil {
			t.Fatal(err)
		}
		spoil(e)
		w, err := e.world(t.Context(), 3)
		if err != nil || w.Same || len(w.Differs) != 1 || !strings.HasPrefix(w.Differs[0], name) {
			t.Errorf("%q: %v, %+v", name, err, w)
		}
		out.Reset()
		if err := e.print(w); err != nil || !strings.HasSuffix(out.String(), "DIFFERS\n") {
			t.Errorf("%q: %v, %s", name, err, out.String())
		}
	}
}

// TestOrderDigest tells orders apart, but not who delivered which part.
func TestOrderDigest(t *testing.T) {
	sum := func(order []uint32, from int) (d orderDigest) {
		for i, index := range order {
			d.add((from+i)/8, (from+i)%8, int64(index))
		}
		return d
	}
	order := pipeline.Order(1, 0, 37)
	all := sum(order, 0)
	if parts := sum(order[20:], 20) + sum(order[:20], 0); parts != all {
		t.Errorf("%v in parts, %v at once", parts, all)
	}
	other := slices.Clone(order)
	other[3], other[30] = other[30], other[3]
	if sum(other, 0) == all || sum(pipeline.Order(1, 1, 37), 0) == all || sum(order, 1) == all {
		t.Error("another order has the same digest")
	}
}
