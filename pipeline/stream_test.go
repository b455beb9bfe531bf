package pipeline

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"alexnet/augment"
	"alexnet/records"
)

// dividedColor is testColor as the program of 2012 used it.
var dividedColor = augment.Color{Basis: testColor.Basis, Sigma: testColor.Sigma, Divisor: 1.1}

// TestSameBatchesForAnyWorkers compares streams of 1, 2 and 7 workers, shallow
// and deep, with the batches computed one picture after another.
func TestSameBatchesForAnyWorkers(t *testing.T) {
	dir := usual.write(t)
	modes := map[string]Options{
		"train":        {Batch: 8, Crop: 9, Seed: 5, Train: true, Color: &testColor, Epochs: 3},
		"no colour":    {Batch: 8, Crop: 12, Seed: 5, Train: true, Epochs: 2},
		"validation":   {Batch: 8, Crop: 9, Epochs: 2},
		"ten views":    {Batch: 8, Crop: 9, Views: 10},
		"later epoch":  {Batch: 37, Crop: 1, Seed: 1 << 60, Train: true, Color: &testColor, Epoch: 88, Epochs: 2},
		"shared crops": {Batch: 8, Crop: 9, Seed: 5, Train: true, Color: &testColor, Epochs: 2, CropGroup: 4},
		"crops across": {Batch: 8, Crop: 9, Seed: 5, Train: true, Epochs: 2, CropGroup: 5, Shuffle: ShuffleBlock, Window: 7},
		"divided":      {Batch: 8, Crop: 9, Seed: 5, Train: true, Color: &dividedColor, Epochs: 2},
		"single slots": {Batch: 1, Crop: 9, Seed: 6, Train: true, Color: &testColor},
	}
	for name, o := range modes {
		want := usual.expect(o)
		for _, workers := range []int{1, 2, 7} {
			for _, depth := range []int{1, 2, 5} {
				t.Run(fmt.Sprintf("%s/workers=%d/depth=%d", name, workers, depth), func(t *testing.T) {
					o.Workers, o.Depth = workers, depth
					assertSame(t, stream(t, dir, o), want)
				})
			}
		}
	}
}

// TestEncodingsAndCompressions wants the same bits from every way to store the
// same pictures.
func TestEncodingsAndCompressions(t *testing.T) {
	train := Options{Batch: 8, Crop: 10, Seed: 9, Train: true, Color: &testColor, Epochs: 2, Workers: 3}
	views := Options{Batch: 8, Crop: 10, Views: 10, Workers: 3}
	for _, pixels := range []records.PixelType{records.Int16, records.Uint8} {
		for _, compression := range []records.Compression{records.None, records.LZ4, records.Zstd} {
			for _, shards := range []int{1, 5} {
				t.Run(fmt.Sprintf("%s/%s/%d", pixels, compression, shards), func(t *testing.T) {
					r := usual
					r.pixels, r.compression, r.shards = pixels, compression, shards
					dir := r.write(t)
					assertSame(t, stream(t, dir, train), usual.expect(train))
					assertSame(t, stream(t, dir, views), usual.expect(views))
				})
			}
		}
	}
}

// TestShapes streams grey pictures, and pictures of one pixel.
func TestShapes(t *testing.T) {
	for _, shape := range []records.Shape{{C: 1, H: 28, W: 28}, {C: 3, H: 1, W: 1}, {C: 1, H: 3, W: 17}} {
		r := usual
		r.shape = shape
		o := Options{Batch: 16, Crop: min(shape.H, shape.W), Seed: 2, Train: true}
		assertSame(t, stream(t, r.write(t), o), r.expect(o))
	}
}

// TestEpochSeesEveryRecordOnce also wants every epoch to have an order of its
// own, and labels that follow their pictures into it.
func TestEpochSeesEveryRecordOnce(t *testing.T) {
	ds, split := open(t, usual.write(t))
	p, err := OpenSplit(t.Context(), ds, split, Options{Batch: 8, Crop: 9, Seed: 1, Train: true, Epochs: 4, Workers: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if p.StepsPerEpoch() != 5 {
		t.Errorf("%d steps an epoch, want 5", p.StepsPerEpoch())
	}
	orders := make([][]int64, 4)
	for b := range p.Batches() {
		want := 8
		if b.Step == 4 {
			want = 37 - 4*8
		}
		if b.N != want || len(b.Labels) != want || len(b.Indices) != want || len(b.Images) != want*3*9*9 {
			t.Errorf("epoch %d, step %d: N %d, %d labels, %d indices, %d values, want %d records",
				b.Epoch, b.Step, b.N, len(b.Labels), len(b.Indices), len(b.Images), want)
		}
		for i, index := range b.Indices {
			if b.Labels[i] != usual.label(int(index)) {
				t.Errorf("record %d has label %d, want %d", index, b.Labels[i], usual.label(int(index)))
			}
		}
		orders[b.Epoch] = append(orders[b.Epoch], b.Indices...)
		b.Release()
	}
	for epoch, order := range orders {
		for other := range epoch {
			if slices.Equal(order, orders[other]) {
				t.Errorf("epochs %d and %d have the same order", other, epoch)
			}
		}
		sorted := slices.Sorted(slices.Values(order))
		for i, index := range sorted {
			if index != int64(i) {
				t.Fatalf("epoch %d: not every record once: %v", epoch, sorted)
			}
		}
		if len(sorted) != usual.rows {
			t.Errorf("epoch %d: %d records, want %d", epoch, len(sorted), usual.rows)
		}
	}
}

// TestSkipIsTheTail resumes at every step of an epoch.
func TestSkipIsTheTail(t *testing.T) {
	dir := usual.write(t)
	o := Options{Batch: 8, Crop: 9, Seed: 5, Train: true, Color: &testColor, Epoch: 1, Epochs: 2, Workers: 2}
	whole := stream(t, dir, o)
	for skip := range 6 {
		o.Skip = skip
		assertSame(t, stream(t, dir, o), whole[skip:])
	}
	o.Epochs, o.Skip = 1, 5
	assertSame(t, stream(t, dir, o), nil)
}

// TestSharedCropsForAnyRanks: the groups of pictures that share a crop are those of the
// epoch, whoever takes which part of a batch and wherever a stream begins.
func TestSharedCropsForAnyRanks(t *testing.T) {
	dir := usual.write(t)
	ds, split := open(t, dir)
	o := Options{Batch: 9, Crop: 9, Seed: 5, Train: true, Color: &testColor, Epoch: 1, Workers: 2, CropGroup: 4}
	type place struct {
		top, left int
		flip      bool
	}
	params := func(o Options) (all map[int64]augment.Params, order []int64) {
		p, err := OpenSplit(t.Context(), ds, split, o)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		all = map[int64]augment.Params{}
		for b := range p.Batches() {
			for i, index := range b.Indices {
				all[index] = b.Params[i]
			}
			order = append(order, b.Indices...)
			b.Release()
		}
		return all, order
	}
	whole, order := params(o)
	var crops []place
	for i, index := range order {
		p := whole[index]
		at := place{p.Top, p.Left, p.Flip}
		if i%4 == 0 {
			crops = append(crops, at)
		}
		if at != crops[i/4] {
			t.Errorf("image %d of the epoch has crop %v, its group's is %v", i, at, crops[i/4])
		}
		if alone := augment.Draw(5, 1, index, augment.Geometry{Height: 12, Width: 14, Crop: 9}, &testColor); p.Shift != alone.Shift {
			t.Errorf("record %d has the colours %v, alone %v", index, p.Shift, alone.Shift)
		}
	}
	if len(slices.Compact(slices.Clone(crops))) < 7 {
		t.Errorf("groups have the crops %v", crops)
	}
	for rank := range 3 {
		o.World, o.Rank, o.Skip = 3, rank, 2
		part, mine := params(o)
		if len(mine) == 0 {
			t.Errorf("rank %d got nothing", rank)
		}
		for _, index := range mine {
			if part[index] != whole[index] {
				t.Errorf("rank %d: record %d has %+v, want %+v", rank, index, part[index], whole[index])
			}
		}
	}
}

// TestBatchLargerThanSplit wants one short batch, and a buffer no larger than
// that.
func TestBatchLargerThanSplit(t *testing.T) {
	ds, split := open(t, usual.write(t))
	var memory counter
	p, err := OpenSplit(t.Context(), ds, split, Options{Batch: 1000, Crop: 9, Allocator: &memory})
	if err != nil {
		t.Fatal(err)
	}
	b, ok := p.Next(t.Context())
	if !ok || b.N != usual.rows {
		t.Fatalf("first batch: %t, want %d records (%v)", ok, usual.rows, p.Err())
	}
	if memory.peak != usual.rows*3*9*9*4 {
		t.Errorf("%d bytes allocated, want %d", memory.peak, usual.rows*3*9*9*4)
	}
	b.Release()
	if b, ok := p.Next(t.Context()); ok {
		t.Errorf("a second batch of %d", b.N)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	memory.assertFreed(t)
}

func TestOptionErrors(t *testing.T) {
	ds, split := open(t, usual.write(t))
	grey := usual
	grey.shape.C = 1
	greySet, greySplit := open(t, grey.write(t))
	tests := []struct {
		name string
		o    Options
		want string
	}{
		{"no batch", Options{Crop: 9}, "pipeline: Batch: 0 records: there must be at least 1"},
		{"no crop", Options{Batch: 8}, "pipeline: Crop: augment: crop of 0 pixels: it must be positive"},
		{"large crop", Options{Batch: 8, Crop: 13}, "pipeline: Crop: augment: crop of 13 pixels is larger than the pictures, which are 12 x 14: choose a crop of at most 12"},
		{"views", Options{Batch: 8, Crop: 9, Views: 5}, "pipeline: Views: 5: use 1 or 10"},
		{"views in training", Options{Batch: 8, Crop: 9, Views: 10, Train: true}, "pipeline: Views: 10 views of a picture are for evaluation; training has one"},
		{"crop group", Options{Batch: 8, Crop: 9, CropGroup: -1}, "pipeline: CropGroup: -1: it must lie between 0 and 2147483647"},
		{"divisor", Options{Batch: 8, Crop: 9, Train: true, Color: &augment.Color{Divisor: -1}}, "pipeline: Color: a divisor of -1: it must be positive, or 0 for none"},
		{"divided halves", Options{Batch: 8, Crop: 9, Train: true, Color: &dividedColor, Type: augment.Float16}, "pipeline: Color: a divisor of 1.1 is for images of float32, and these are float16"},
		{"workers", Options{Batch: 8, Crop: 9, Workers: -1}, "pipeline: Workers: -1: it must lie between 0 and 65536"},
		{"depth", Options{Batch: 8, Crop: 9, Depth: -2}, "pipeline: Depth: -2: it must lie between 0 and 65536"},
		{"epoch", Options{Batch: 8, Crop: 9, Epoch: -1}, "pipeline: Epoch: -1: it must lie between 0 and 1073741824"},
		{"epochs", Options{Batch: 8, Crop: 9, Epochs: -1}, "pipeline: Epochs: -1: it must lie between 1 and 1073741824"},
		{"skip", Options{Batch: 8, Crop: 9, Skip: 6}, "pipeline: Skip: 6: it must lie between 0 and 5"},
		{"skip back", Options{Batch: 8, Crop: 9, Skip: -1}, "pipeline: Skip: -1: it must lie between 0 and 5"},
	}
	check := func(name string, ds *records.Dataset, split *records.Split, o Options, want string) {
		p, err := OpenSplit(t.Context(), ds, split, o)
		if err == nil {
			p.Close()
			t.Errorf("%s: no error", name)
			return
		}
		if _, ok := errors.AsType[*OptionError](err); !ok || err.Error() != want {
			t.Errorf("%s: %T %q, want %q", name, err, err, want)
		}
	}
	for _, tt := range tests {
		check(tt.name, ds, split, tt.o, tt.want)
	}
	check("grey in colour", greySet, greySplit, Options{Batch: 8, Crop: 9, Train: true, Color: &testColor},
		"pipeline: Color: colour shifts need pictures of 3 channels; these have 1")
}

func TestMeanOfAnotherSize(t *testing.T) {
	ds, split := open(t, usual.write(t))
	other := *ds
	other.Mean = &records.Mean{Shape: records.Shape{C: 1, H: 1, W: 2}, Mean: []float32{1, 2}, Baseline: []uint8{1, 2}}
	_, err := OpenSplit(t.Context(), &other, split, Options{Batch: 8, Crop: 9})
	if err == nil || !strings.Contains(err.Error(), "has 2 values, its pictures (3x12x14) 504: ingest the data again") {
		t.Errorf("got %v", err)
	}
}

func TestInclusiveCropsReachTheEdge(t *testing.T) {
	r := usual
	r.rows = 200
	ds, split := open(t, r.write(t))
	g := augment.Geometry{Height: r.shape.H, Width: r.shape.W, Crop: 11, Inclusive: true, NoFlip: true}
	p, err := OpenSplit(t.Context(), ds, split, Options{Batch: 200, Crop: 11, Train: true, Inclusive: true, NoFlip: true, Seed: 4})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	b, ok := p.Next(t.Context())
	if !ok {
		t.Fatal(p.Err())
	}
	defer b.Release()
	mean, _ := r.mean()
	want := make([]float32, 3*11*11)
	edge := 0
	for i, index := range b.Indices {
		params := augment.Draw(4, 0, index, g, nil)
		if params.Top == 1 {
			edge++
		}
		if params.Flip {
			t.Fatalf("record %d is mirrored in spite of NoFlip", index)
		}
		augment.Apply(want, r.picture(int(index)), mean, 3, g, params)
		if digest(b.Images[i*len(want):(i+1)*len(want)]) != digest(want) {
			t.Fatalf("record %d: crop %+v not used", index, params)
		}
	}
	if edge < 60 || edge > 140 {
		t.Errorf("%d of 200 crops at the last offset, want about half", edge)
	}
}

// Without random crops an epoch has the central crop of every picture; mirror images and
// colours are those that random crops come with.
func TestCentralCrops(t *testing.T) {
	r := usual
	r.rows = 200
	ds, split := open(t, r.write(t))
	color := augment.EigenColor([3][3]float64{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}, [3]float64{900, 400, 100}, augment.ScaleStdDev)
	g := augment.Geometry{Height: r.shape.H, Width: r.shape.W, Crop: 9}
	p, err := OpenSplit(t.Context(), ds, split, Options{Batch: 200, Crop: 9, Train: true, Centered: true, Color: &color, Seed: 4, Epoch: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	b, ok := p.Next(t.Context())
	if !ok {
		t.Fatal(p.Err())
	}
	defer b.Release()
	mean, _ := r.mean()
	want := make([]float32, 3*9*9)
	flips := 0
	for i, index := range b.Indices {
		params := augment.Draw(4, 3, index, g, &color)
		params.Top, params.Left = (12-9)/2, (14-9)/2
		if params.Flip {
			flips++
		}
		augment.Apply(want, r.picture(int(index)), mean, 3, g, params)
		if digest(b.Images[i*len(want):(i+1)*len(want)]) != digest(want) {
			t.Fatalf("record %d is not its central crop", index)
		}
	}
	if flips < 60 || flips > 140 {
		t.Errorf("%d of 200 mirrored, want about half", flips)
	}
}
