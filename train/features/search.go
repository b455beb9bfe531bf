package features

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"

	"alexnet/model/cpu/gemm"
	"alexnet/model/vector"
)

// Match is a row of a store.
type Match struct {
	Row      int     `json:"row"` // of the split
	Key      string  `json:"key"`
	Label    int32   `json:"label"`
	Distance float64 `json:"distance"`
}

// unitQueries is how many queries one goroutine compares with a block at a time: a
// multiple of every kernel's MR, so that their part of a product stays in a cache.
const unitQueries = 96

// SearchOptions says how to search. Results do not depend on it.
type SearchOptions struct {
	Threads int // 0 means GOMAXPROCS
	// Group is the number of queries that one pass over the store serves; 0 means
	// 16,384, for which, of 4096 values each, 300 MB are needed beside the queries.
	Group int
	// Progress, if not nil, is called with the number of comparisons that are done and
	// of all.
	Progress func(done, total int64)

	kernel *gemm.Kernel // of a test; nil: the best
}

const usualGroup = 16384

// Nearest returns, for each of the queries (n x Size values), the k rows of the store
// that are nearest by Euclidean distance, the nearest first, or all where there are
// fewer. Of equally distant rows the first comes first.
//
// Distances are exact: computed in float64 from the differences. Most rows are ruled
// out before that by ||a||^2 + ||b||^2 - 2ab, with the products of blocks of
// queries and rows in float32, which is off by no more than a bound that is known: a
// row that it might be wrong about is looked at exactly.
func (s Source) Nearest(ctx context.Context, dir string, queries []float32, k int, o SearchOptions) ([][]Match, error) {
	if k < 1 || len(queries)%s.Size != 0 || o.Threads < 0 || o.Group < 0 {
		return nil, fmt.Errorf("features: %d neighbours of %d values of %d each: cannot be", k, len(queries), s.Size)
	}
	if o.Threads == 0 {
		o.Threads = runtime.GOMAXPROCS(0)
	}
	if o.Group == 0 {
		o.Group = usualGroup
	}
	var matches [][]Match
	total := int64(len(queries)/s.Size) * int64(s.Rows)
	for group := range slices.Chunk(queries, o.Group*s.Size) {
		kernel := gemm.Best()
		if o.kernel != nil {
			kernel = *o.kernel
		}
		f := newFinder(s.Size, group, k, o.Threads, kernel)
		done := int64(len(matches)) * int64(s.Rows)
		for first := 0; first < s.Rows; first += s.step() {
			if err := f.part(ctx, s, dir, first); err != nil {
				return nil, err
			}
			if o.Progress != nil {
				o.Progress(done+int64(len(f.best))*int64(first+s.partLen(first)), total)
			}
		}
		matches = append(matches, f.best...)
	}
	return matches, nil
}

// finder compares queries with blocks of rows.
type finder struct {
	size, k, threads int
	queries          []float32
	norms            []float64 // squares
	best             [][]Match // of each query, sorted
	kernel           gemm.Kernel
	steps            []int     // 0, 1, ...: values of a vector
	packed           []float32 // queries, by unit and then by KC steps
	rows             []float32 // a block, packed by KC steps and then by strip
	products         []float32 // queries x batchRows
	bound            float64   // of the error of a product, over the product of the norms
}

// roundoff is that of float32.
const roundoff = 1.0 / (1 << 24)

func newFinder(size int, queries []float32, k, threads int, kernel gemm.Kernel) *finder {
	n := len(queries) / size
	f := &finder{size: size, k: k, threads: threads, queries: queries, kernel: kernel,
		norms: make([]float64, n), best: make([][]Match, n), products: make([]float32, n*batchRows)}
	// A product is a sum of chains of KC steps, where no fused instruction is there of two
	// roundings each.
	f.bound = 2 * float64(min(size, gemm.KC)+size/gemm.KC+4) * roundoff
	f.steps = make([]int, size)
	for i := range f.steps {
		f.steps[i] = i
	}
	f.packed = make([]float32, (f.units()*unitQueries+f.kernel.MR())*size)
	f.rows = make([]float32, f.kernel.Strips(batchRows)*f.kernel.NR()*size)
	vector.Each(threads, f.units(), f.packQueries)
	return f
}

// units returns the number of units of queries.
func (f *finder) units() int { return (len(f.norms) + unitQueries - 1) / unitQueries }

// unit returns the queries of a unit.
func (f *finder) unit(u int) (from, to int) {
	return u * unitQueries, min((u+1)*unitQueries, len(f.norms))
}

func (f *finder) packQueries(u int) {
	from, to := f.unit(u)
	at := make([]int, to-from)
	for i := range at {
		at[i] = i * f.size
		f.norms[from+i] = square(f.queries[(from+i)*f.size:][:f.size])
	}
	height := f.kernel.Rows(to - from)
	a := f.packed[from*f.size:]
	for l := 0; l < f.size; l += gemm.KC {
		steps := f.steps[l:min(l+gemm.KC, f.size)]
		f.kernel.PackA(a[l*height:], f.queries[from*f.size:], steps, at)
	}
}

// part compares all queries with the rows of a file.
func (f *finder) part(ctx context.Context, s Source, dir string, first int) (err error) {
	r, err := s.openPart(dir, first)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	for k := range r.batches() {
		if err := ctx.Err(); err != nil {
			return err
		}
		b, err := r.batch(k)
		if err != nil {
			return err
		}
		f.compare(&b, first+k*batchRows)
	}
	return nil
}

// compare looks for neighbours in a block of rows that begins at row first.
func (f *finder) compare(b *block, first int) {
	n := len(b.labels)
	norms := make([]float64, n)
	at := make([]int, n)
	for j := range n {
		at[j] = j * f.size
		norms[j] = square(b.features[j*f.size:][:f.size])
	}
	strips := f.kernel.CutColumns(at)
	width := len(strips) * f.kernel.NR()
	blocks := (f.size + gemm.KC - 1) / gemm.KC
	vector.Each(f.threads, blocks*len(strips), func(unit int) {
		l, s := unit/len(strips)*gemm.KC, unit%len(strips)
		steps := f.steps[l:min(l+gemm.KC, f.size)]
		f.kernel.PackB(f.rows[l*width+s*len(steps)*f.kernel.NR():], b.features, steps, &strips[s])
	})
	vector.Each(f.threads, f.units(), func(u int) {
		f.multiply(u, strips, width)
		from, to := f.unit(u)
		for q := from; q < to; q++ {
			f.sift(q, b, norms, first)
		}
	})
}

// multiply sets the products of a unit of queries and a block.
func (f *finder) multiply(u int, strips []gemm.Strip, width int) {
	from, to := f.unit(u)
	height, nr := f.kernel.Rows(to-from), f.kernel.NR()
	a, c := f.packed[from*f.size:], f.products[from*batchRows:]
	for l := 0; l < f.size; l += gemm.KC {
		kc := min(gemm.KC, f.size-l)
		for s := range strips {
			f.kernel.Multiply(kc, a[l*height:], to-from, f.rows[l*width+s*kc*nr:], strips[s].Columns(), c[s*nr:], batchRows, l > 0)
		}
	}
}

// sift takes the rows of a block that are nearer to a query than what it has.
func (f *finder) sift(q int, b *block, norms []float64, first int) {
	best, farthest := f.best[q], math.Inf(1)
	if len(best) == f.k {
		farthest = best[f.k-1].Distance
	}
	limit := farthest * farthest * (1 + 1e-12) // what the square root has rounded
	length := math.Sqrt(f.norms[q])
	products := f.products[q*batchRows:][:len(norms)]
	for j, p := range products {
		// Sums of two norms are off by far less than a product.
		least := f.norms[q] + norms[j] - 2*float64(p) - 2*f.bound*length*math.Sqrt(norms[j])
		if least > limit && p-p == 0 { // not of a product that has overflowed
			continue
		}
		d := distance(f.queries[q*f.size:][:f.size], b.features[j*f.size:][:f.size])
		if !(d < farthest) && len(best) == f.k {
			continue
		}
		at := len(best)
		for at > 0 && d < best[at-1].Distance {
			at--
		}
		m := Match{Row: first + j, Key: b.keys[j], Label: b.labels[j], Distance: d}
		if best = slices.Insert(best, at, m); len(best) > f.k {
			best = best[:f.k]
		}
		if len(best) == f.k {
			farthest = best[f.k-1].Distance
			limit = farthest * farthest * (1 + 1e-12)
		}
	}
	f.best[q] = best
}

// square returns the square of a vector's length.
func square(a []float32) (sum float64) {
	for _, v := range a {
		sum += float64(v) * float64(v)
	}
	return sum
}

// distance returns the Euclidean distance.
func distance(a, b []float32) float64 {
	var sum float64
	b = b[:len(a)]
	for i, v := range a {
		d := float64(v) - float64(b[i])
		sum += d * d
	}
	return math.Sqrt(sum)
}

// errNotFinite is the cause where features are of no use.
var errNotFinite = errors.New("features that are not finite: the net's weights have diverged")
