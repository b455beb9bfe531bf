package pipeline

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"alexnet/augment"
	"alexnet/records"
)

// orderings are one of each kind, with last blocks and windows cut short.
var orderings = map[string]Ordering{
	"global":          {Seed: 7, Rows: 1003},
	"block":           {Seed: 7, Rows: 1003, Block: 10, Window: 170},
	"one window":      {Seed: 7, Rows: 1003, Block: 10, Window: 5000},
	"blocks of one":   {Seed: 7, Rows: 1003, Block: 1, Window: 64},
	"odd window":      {Seed: 7, Rows: 1003, Block: 10, Window: 33},
	"window of one":   {Seed: 7, Rows: 1003, Block: 10, Window: 1},
	"nothing to draw": {Seed: 7, Rows: 1, Block: 10, Window: 20},
}

// TestOrderingIsAPermutation wants each record once, another order in each
// epoch and for each seed, and the same one each time.
func TestOrderingIsAPermutation(t *testing.T) {
	for name, o := range orderings {
		first := o.Epoch(3)
		sorted := slices.Sorted(slices.Values(first))
		for i, row := range sorted {
			if row != uint32(i) || len(sorted) != o.Rows {
				t.Fatalf("%s: %d records, number %d is %d", name, len(sorted), i, row)
			}
		}
		if !slices.Equal(first, o.Epoch(3)) {
			t.Errorf("%s: another order the second time", name)
		}
		other := o
		other.Seed++
		if o.Rows > 1 && (slices.Equal(first, o.Epoch(4)) || slices.Equal(first, other.Epoch(3))) {
			t.Errorf("%s: epoch or seed make no difference", name)
		}
	}
}

// TestOrderingIsFixed pins orders: a resumed run depends on them.
func TestOrderingIsFixed(t *testing.T) {
	if got, want := fmt.Sprint(Order(1, 0, 10)), "[5 2 8 7 4 6 0 1 3 9]"; got != want {
		t.Errorf("global: %v, want %v", got, want)
	}
	if got, want := fmt.Sprint(Ordering{Seed: 1, Rows: 10, Block: 2, Window: 4}.Epoch(0)), "[9 6 8 7 1 2 0 3 5 4]"; got != want {
		t.Errorf("block: %v, want %v", got, want)
	}
}

// TestWindowsHoldWholeBlocks wants the records of a window to be those of the
// blocks that were drawn for it, so that a disk can read them in sequence.
func TestWindowsHoldWholeBlocks(t *testing.T) {
	o := Ordering{Seed: 5, Rows: 1000, Block: 20, Window: 200}
	order := o.Epoch(0)
	for w := 0; w < o.Rows; w += o.Window {
		blocks := map[uint32]int{}
		for _, row := range order[w : w+o.Window] {
			blocks[row/20]++
		}
		if len(blocks) != 10 {
			t.Errorf("window at %d has records of %d blocks, want 10", w, len(blocks))
		}
	}
}

// TestShuffleQuality counts neighbours of the same class. In a random order of
// n records of k classes in equal parts their number has mean (n-1)(m-1)/(n-1)
// with m = n/k, and about that variance; more than 4 standard deviations above
// it comes once in thirty thousand orders. Stored order is dealt at random, as
// ingest does; the block orders must keep that.
func TestShuffleQuality(t *testing.T) {
	const n, classes = 20000, 100
	label := make([]int, n)
	for i, at := range records.Permutation("deal", 11, 0, n) {
		label[at] = i % classes
	}
	sorted := make([]int, n) // and one by one class, which only a global order mixes
	for i := range sorted {
		sorted[i] = i * classes / n
	}
	mean := float64(n/classes - 1)
	count := func(order []uint32, label []int) (pairs float64) {
		for i := 1; i < n; i++ {
			if label[order[i]] == label[order[i-1]] {
				pairs++
			}
		}
		return pairs
	}
	for name, o := range map[string]Ordering{
		"global": {Seed: 3, Rows: n},
		"block":  {Seed: 3, Rows: n, Block: 42, Window: 42 * 16},
	} {
		sum := 0.0
		const epochs = 20
		for e := range epochs {
			pairs := count(o.Epoch(e), label)
			sum += pairs
			if pairs > mean+4*math.Sqrt(mean) {
				t.Errorf("%s, epoch %d: %v neighbours of one class, a random order has %v", name, e, pairs, mean)
			}
		}
		if got := sum / epochs; math.Abs(got-mean) > 4*math.Sqrt(mean/epochs) {
			t.Errorf("%s: %v neighbours of one class on average, a random order has %v", name, got, mean)
		}
		if o.Window == 0 {
			if pairs := count(o.Epoch(0), sorted); pairs > mean+4*math.Sqrt(mean) {
				t.Errorf("records sorted by class: %v neighbours after the shuffle, a random order has %v", pairs, mean)
			}
		}
	}
	// The statistic must tell a bad order from a good one.
	stored := make([]uint32, n)
	for i := range stored {
		stored[i] = uint32(i)
	}
	if pairs := count(stored, sorted); pairs < 10*mean {
		t.Errorf("the statistic finds only %v neighbours in sorted records", pairs)
	}
}

// TestWorlds puts the slices of 1, 2, 3 and 8 ranks together: the batches of
// one, in order, with the digest of the whole.
func TestWorlds(t *testing.T) {
	dir := usual.write(t)
	_, split := open(t, dir)
	all, lost, err := DigestOf(split)
	if err != nil || len(lost) != 0 || all.Records != int64(usual.rows) {
		t.Fatalf("digest of the split: %v, %v", all, err)
	}
	for _, shuffle := range []Shuffle{ShuffleGlobal, ShuffleBlock} {
		o := Options{Batch: 8, Crop: 9, Seed: 5, Train: true, Color: &testColor, Epochs: 2, Workers: 3, Shuffle: shuffle}
		if shuffle == ShuffleBlock {
			o.Window = 12
		}
		var alone []string
		for _, world := range []int{1, 2, 3, 8} {
			var got []string
			var keys [2]Digest
			for rank := range world {
				o.Rank, o.World = rank, world
				for i, b := range rankStream(t, dir, o, &keys) {
					if rank == 0 {
						got = append(got, "")
					}
					got[i] += b
				}
			}
			if world == 1 {
				alone = got
			} else if !slices.Equal(got, alone) {
				t.Errorf("%v: the batches of %d ranks are not those of one:\n%v\n%v", shuffle, world, got, alone)
			}
			if keys[0] != all || keys[1] != all {
				t.Errorf("%v, %d ranks: digests %v, want %v in each epoch", shuffle, world, keys, all)
			}
		}
	}
}

// rankStream describes each batch of a rank's stream, record by record, and adds
// the digests of each epoch.
func rankStream(t *testing.T, dir string, o Options, keys *[2]Digest) (batches []string) {
	t.Helper()
	p, err := Open(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	size := 3 * o.Crop * o.Crop
	for b := range p.Batches() {
		text := ""
		for i, index := range b.Indices {
			text += fmt.Sprintf("%d %d %x;", index, b.Labels[i], digest(b.Images[i*size:(i+1)*size]))
		}
		if want := min(8, usual.rows-8*b.Step); b.Global != want {
			t.Errorf("step %d has %d records over all ranks, want %d", b.Step, b.Global, want)
		}
		if b.First != b.Global*o.Rank/o.World {
			t.Errorf("step %d: rank %d of %d begins at %d of %d", b.Step, o.Rank, o.World, b.First, b.Global)
		}
		keys[b.Epoch] = keys[b.Epoch].Add(b.Keys)
		batches = append(batches, text)
		b.Release()
	}
	if err := errors.Join(p.Err(), p.Close()); err != nil {
		t.Fatal(err)
	}
	return batches
}

// TestDigest wants the digest to see a record that is missing, doubled or
// another, and no order.
func TestDigest(t *testing.T) {
	sum := func(keys ...string) (d Digest) {
		for _, k := range keys {
			d = d.Add(DigestOfKey(k))
		}
		return d
	}
	abc := sum("a", "b", "c")
	if abc.Sub(sum("b")) != sum("a", "c") || sum("c", "a", "b") != abc || sum("a").Add(sum("b", "c")) != abc {
		t.Error("the order counts")
	}
	for _, other := range []Digest{sum("a", "b"), sum("a", "a", "b"), sum("a", "b", "c", "c"), sum("a", "b", "d"), {}} {
		if other == abc {
			t.Errorf("%v is taken for %v", other, abc)
		}
	}
	if got, want := sum("n01440764_10026").String(), "1-131bc8520f5a2d22"; got != want {
		t.Errorf("digest %v, want %v", got, want)
	}
}

// TestBlockShuffle compares a stream with windows, read ahead and given back,
// with the batches computed one picture after another, and resumes it at every
// step.
func TestBlockShuffle(t *testing.T) {
	for _, compression := range []records.Compression{records.None, records.LZ4} {
		r := usual
		r.compression, r.rows, r.shards = compression, 101, 3
		dir := r.write(t)
		for _, window := range []int{1, 10, 24, 101, 300} {
			o := Options{Batch: 8, Crop: 9, Seed: 5, Train: true, Color: &testColor, Epochs: 3, Workers: 2, Depth: 2, Shuffle: ShuffleBlock, Window: window}
			want := r.expect(o)
			assertSame(t, stream(t, dir, o), want)
			for _, skip := range []int{1, 5, 12, 13} {
				o.Skip = skip
				assertSame(t, stream(t, dir, o), want[skip:])
			}
		}
	}
}

// TestOpenFolder opens and closes the records itself.
func TestOpenFolder(t *testing.T) {
	dir := usual.write(t)
	p, err := Open(t.Context(), dir, Options{Batch: 8, Crop: 9, Shuffle: ShuffleBlock, Train: true})
	if err != nil {
		t.Fatal(err)
	}
	if p.Window() != usual.rows {
		t.Errorf("a window of %d records, want all %d", p.Window(), usual.rows)
	}
	b, ok := p.Next(t.Context())
	if !ok {
		t.Fatal(p.Err())
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if len(b.Labels) != 8 || len(b.Images) != 8*3*9*9 {
		t.Error("a held batch does not outlive the records")
	}
	b.Release()
	for want, o := range map[string]Options{
		`has no split "val"; it has train`: {Split: "val", Batch: 8, Crop: 9},
		"Batch: 0 records":                 {Crop: 9},
	} {
		if _, err := Open(t.Context(), dir, o); err == nil || !contains(err, want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if _, err := Open(t.Context(), filepath.Join(dir, "none"), Options{Batch: 8, Crop: 9}); err == nil {
		t.Error("no error for a folder that is not there")
	}
}

// TestTypesAndLayouts compares every kind of image with what the kernel makes
// of the raw pictures.
func TestTypesAndLayouts(t *testing.T) {
	for _, pixels := range []records.PixelType{records.Uint8, records.Int16} {
		r := usual
		r.pixels = pixels
		dir := r.write(t)
		for _, typ := range []augment.Type{augment.Float32, augment.Float16, augment.BFloat16, augment.Stored} {
			for _, layout := range []augment.Layout{augment.NCHW, augment.NHWC} {
				o := Options{Batch: 8, Crop: 9, Seed: 5, Train: true, Color: &testColor, Workers: 2, Type: typ, Layout: layout}
				t.Run(fmt.Sprintf("%s/%v/%v", pixels, typ, layout), func(t *testing.T) { checkImages(t, dir, o) })
			}
		}
	}
}

// checkImages compares the images of a stream with those made one by one.
func checkImages(t *testing.T, dir string, o Options) {
	ds, split := open(t, dir)
	k, err := augment.NewKernel(augment.Spec{
		Geometry: augment.Geometry{Height: 12, Width: 14, Crop: 9}, Channels: 3, StoredBytes: ds.Manifest.Pixels.Size(),
		Sub: ds.Mean.Subtrahend(ds.Manifest.Pixels), Type: o.Type, Layout: o.Layout,
	})
	if err != nil {
		t.Fatal(err)
	}
	p, err := OpenSplit(t.Context(), ds, split, o)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	want := make([]byte, k.ImageBytes())
	for b := range p.Batches() {
		if (b.Images != nil) != (o.Type == augment.Float32) || len(b.Bytes) != b.N*len(want) || len(b.Params) != b.N {
			t.Fatalf("%d floats, %d bytes, %d params for %d images", len(b.Images), len(b.Bytes), len(b.Params), b.N)
		}
		for i, index := range b.Indices {
			params := augment.Draw(o.Seed, b.Epoch, index, k.Spec().Geometry, o.Color)
			row, err := split.Row(int(index), nil)
			if err != nil {
				t.Fatal(err)
			}
			if row.U8 != nil {
				k.Uint8(want, row.U8, params)
			} else {
				k.Int16(want, row.I16, params)
			}
			if !slices.Equal(b.Bytes[i*len(want):(i+1)*len(want)], want) || b.Params[i] != params {
				t.Fatalf("record %d: another image, or params %+v instead of %+v", index, b.Params[i], params)
			}
		}
		if k.ValueBytes() == 2 && len(b.Halves()) != len(b.Bytes)/2 {
			t.Errorf("%d halves in %d bytes", len(b.Halves()), len(b.Bytes))
		}
		b.Release()
	}
	if err := p.Err(); err != nil {
		t.Error(err)
	}
}
