package pipeline

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"path/filepath"
	"sync"
	"testing"

	"alexnet/augment"
	"alexnet/records"

	"go.uber.org/goleak"
)

// TestMain fails when a test leaves a goroutine behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testColor is a Color with components in all channels.
var testColor = augment.EigenColor(
	[3][3]float64{{0.58, 0.58, 0.57}, {0.7, 0, -0.7}, {0.4, -0.8, 0.4}},
	[3]float64{14000, 1300, 380}, augment.ScaleStdDev)

// recipe describes a data set to make for a test.
type recipe struct {
	shape       records.Shape
	rows        int
	shards      int
	pixels      records.PixelType
	compression records.Compression
}

// usual is the recipe of most tests: two shards, a last batch of 5 when there
// are 8 to a batch.
var usual = recipe{
	shape: records.Shape{C: 3, H: 12, W: 14}, rows: 37, shards: 2,
	pixels: records.Int16, compression: records.None,
}

// picture returns the raw values of picture i.
func (r recipe) picture(i int) []uint8 {
	pixels := make([]uint8, r.shape.Size())
	h := uint32(i+1) * 2654435761
	for j := range pixels {
		h = h*1664525 + 1013904223
		pixels[j] = uint8(h >> 24)
	}
	return pixels
}

// label returns the label of picture i, which its pixels do not give away.
func (r recipe) label(i int) int32 { return int32(i*7%10) - 1 }

// mean returns a mean image of multiples of 1/1024, and a baseline near it.
func (r recipe) mean() (mean []float32, baseline []uint8) {
	for j := range r.shape.Size() {
		steps := j * 7919 % (255 * records.MeanScale)
		mean = append(mean, float32(steps)/records.MeanScale)
		baseline = append(baseline, uint8(steps/records.MeanScale+j%2))
	}
	return mean, baseline
}

// write makes the data set in a temporary folder and returns the folder.
func (r recipe) write(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	m := &records.Manifest{
		Shape: r.shape, Pixels: r.pixels, Compression: r.compression,
		Decoder: "none", Filter: "none",
		Splits:  map[string]records.SplitInfo{},
		Classes: make([]records.Class, 10),
	}
	for i := range m.Classes {
		m.Classes[i].WNID = fmt.Sprintf("n%08d", i)
	}
	mean, baseline := r.mean()
	image := &records.Mean{Shape: r.shape, Mean: mean, Baseline: baseline}
	o := records.WriterOptions{Split: "train", Shape: r.shape, Pixels: r.pixels, Compression: r.compression, Baseline: baseline}
	if r.pixels == records.Uint8 {
		image.Baseline, o.Baseline = make([]uint8, len(baseline)), nil
	}
	info := records.SplitInfo{Seen: r.rows, Written: r.rows}
	for s := range r.shards {
		from, to := s*r.rows/r.shards, (s+1)*r.rows/r.shards
		info.Shards = append(info.Shards, r.writeShard(t, filepath.Join(dir, records.ShardName("train", s, r.shards)), o, from, to))
	}
	m.Splits["train"] = info
	var err error
	if m.Mean, err = records.WriteMean(filepath.Join(dir, records.MeanName), image); err != nil {
		t.Fatal(err)
	}
	if err := records.WriteManifest(dir, m); err != nil {
		t.Fatal(err)
	}
	return dir
}

func (r recipe) writeShard(t testing.TB, path string, o records.WriterOptions, from, to int) records.ShardInfo {
	t.Helper()
	w, err := records.CreateShard(path, o)
	if err != nil {
		t.Fatal(err)
	}
	for i := from; i < to; i++ {
		rec := records.Record{Key: fmt.Sprintf("picture-%03d", i), Label: r.label(i), Width: 20, Height: 30, Pixels: r.picture(i)}
		if err := w.Write(rec); err != nil {
			t.Fatal(err)
		}
	}
	info, err := w.Commit()
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// open opens the split of a folder that write made.
func open(t testing.TB, dir string) (*records.Dataset, *records.Split) {
	t.Helper()
	ds, err := records.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	split, err := ds.OpenSplit("train")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := split.Close(); err != nil {
			t.Error(err)
		}
	})
	return ds, split
}

// counter is an Allocator that counts, fails when told, and notices frees of
// what it did not give.
type counter struct {
	sync.Mutex
	live     map[*byte]int
	bytes    int // live now
	peak     int // most bytes live at a time
	allocs   int
	failAt   int // number of the Alloc that fails, from 1
	short    bool
	freeErr  error
	badFrees int
}

func (c *counter) Alloc(bytes int) ([]byte, error) {
	c.Lock()
	defer c.Unlock()
	c.allocs++
	if c.allocs == c.failAt {
		if !c.short {
			return nil, fmt.Errorf("no memory left for %d bytes", bytes)
		}
		bytes--
	}
	if c.live == nil {
		c.live = map[*byte]int{}
	}
	buf, err := HostAllocator{}.Alloc(bytes)
	c.live[&buf[0]] = bytes
	c.bytes += bytes
	c.peak = max(c.peak, c.bytes)
	return buf, err
}

func (c *counter) Free(buf []byte) error {
	c.Lock()
	defer c.Unlock()
	n, ok := c.live[&buf[0]]
	if !ok || n != len(buf) {
		c.badFrees++
		return fmt.Errorf("free of %d bytes that were not allocated", len(buf))
	}
	delete(c.live, &buf[0])
	c.bytes -= n
	return c.freeErr
}

// assertFreed fails the test when a buffer is live or was freed twice.
func (c *counter) assertFreed(t testing.TB) {
	t.Helper()
	c.Lock()
	defer c.Unlock()
	if len(c.live) != 0 || c.badFrees != 0 {
		t.Errorf("%d of %d buffers leaked, %d bad frees", len(c.live), c.allocs, c.badFrees)
	}
}

// seen is a batch as a test remembers it: the images as a digest.
type seen struct {
	epoch, step, n int
	labels         string
	indices        string
	images         [sha256.Size]byte
}

func remember(b *Batch) seen {
	return seen{
		epoch: b.Epoch, step: b.Step, n: b.N,
		labels: fmt.Sprint(b.Labels), indices: fmt.Sprint(b.Indices),
		images: digest(b.Images),
	}
}

func digest(images []float32) (sum [sha256.Size]byte) {
	h := sha256.New()
	var word [4]byte
	for _, x := range images {
		binary.LittleEndian.PutUint32(word[:], math.Float32bits(x))
		h.Write(word[:])
	}
	h.Sum(sum[:0])
	return sum
}

// stream opens a stream, takes all its batches, and closes it. It checks that
// nothing leaks.
func stream(t testing.TB, dir string, o Options) []seen {
	t.Helper()
	ds, split := open(t, dir)
	var memory counter
	o.Allocator = &memory
	p, err := OpenSplit(t.Context(), ds, split, o)
	if err != nil {
		t.Fatal(err)
	}
	var all []seen
	for b := range p.Batches() {
		all = append(all, remember(&b))
		b.Release()
	}
	if err := p.Err(); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	memory.assertFreed(t)
	return all
}

// expect computes the batches of a stream one picture after another, from the
// raw pictures and the mean.
func (r recipe) expect(o Options) []seen {
	mean, _ := r.mean()
	g := augment.Geometry{Height: r.shape.H, Width: r.shape.W, Crop: o.Crop}
	views := max(o.Views, 1)
	var all []seen
	for epoch := o.Epoch; epoch < o.Epoch+max(o.Epochs, 1); epoch++ {
		order := o.ordering(r).Epoch(epoch)
		for step := 0; step*o.Batch < r.rows; step++ {
			n := min(o.Batch, r.rows-step*o.Batch)
			var labels []int32
			var indices []int64
			var images []float32
			for i := step * o.Batch; i < step*o.Batch+n; i++ {
				index := int64(i)
				if o.Train {
					index = int64(order[i])
				}
				labels = append(labels, r.label(int(index)))
				indices = append(indices, index)
				for v := range views {
					params := augment.View(g, v)
					switch {
					case o.Train:
						params = augment.Draw(o.Seed, epoch, index, g, o.Color)
						if o.CropGroup > 1 {
							shared := augment.Draw(o.Seed, epoch, int64(i/o.CropGroup), g, nil)
							params.Top, params.Left, params.Flip = shared.Top, shared.Left, shared.Flip
						}
					case views == 1:
						params = augment.Center(g)
					}
					image := make([]float32, r.shape.C*o.Crop*o.Crop)
					augment.Apply(image, r.picture(int(index)), mean, r.shape.C, g, params)
					if o.Train && o.Color != nil && o.Color.Divisor != 0 {
						for j := range image {
							image[j] /= o.Color.Divisor
						}
					}
					images = append(images, image...)
				}
			}
			all = append(all, seen{epoch, step, n, fmt.Sprint(labels), fmt.Sprint(indices), digest(images)})
		}
	}
	return all
}

// assertSame compares two streams batch by batch.
func assertSame(t testing.TB, got, want []seen) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d batches, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("batch %d differs:\n got %+v\nwant %+v", i, got[i], want[i])
		}
	}
}

// ordering is what decides the order of a stream of the recipe's records.
func (o Options) ordering(r recipe) Ordering {
	ordering := Ordering{Seed: o.Seed, Rows: r.rows}
	if o.Shuffle == ShuffleBlock {
		ordering.Block, ordering.Window = BlockRows(r.shape.Size()*r.pixels.Size()), o.Window
	}
	return ordering
}
