package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"alexnet/augment"
	"alexnet/pipeline"

	"github.com/zeebo/xxh3"
)

// worlds are the numbers of ranks that --check-epoch tries, in rising order.
//
//nolint:gochecknoglobals // read only
var worlds = []int{1, 2, 3, 8}

// epochCrop is the side of its crops: what is checked is which records come.
const epochCrop = 32

// worldCheck is what all the ranks of a world delivered. The JSON names are the
// format of --check-epoch with --json.
type worldCheck struct {
	World   int   `json:"world"`
	Records int64 `json:"records"`
	// Digest is the sum of the batches' digests; Want is that of the split, less
	// the records that were skipped.
	Digest string `json:"digest"`
	Want   string `json:"want"`
	// Order is the digest of the order, WantOrder that of pipeline.Ordering.
	Order     string    `json:"order"`
	WantOrder string    `json:"want_order"`
	Same      bool      `json:"same"`
	Differs   []string  `json:"differs,omitempty"`
	Skipped   []skipped `json:"skipped,omitempty"`

	keys  pipeline.Digest
	order orderDigest
	holes map[int64]string
}

// skipped is a record that was skipped.
type skipped struct {
	Index int64  `json:"index"`
	Error string `json:"error"`
}

// orderDigest shows which record was in which slot of which step: the sum,
// modulo 2^64, of a hash of the three, so that the parts of the ranks add up.
type orderDigest uint64

// add adds a record. The slot is that of the batch over all ranks.
func (d *orderDigest) add(step, slot int, index int64) {
	var text [24]byte
	binary.LittleEndian.PutUint64(text[:], uint64(step))
	binary.LittleEndian.PutUint64(text[8:], uint64(slot))
	binary.LittleEndian.PutUint64(text[16:], uint64(index))
	*d += orderDigest(xxh3.Hash(text[:]))
}

// String returns the sum in hexadecimal.
func (d orderDigest) String() string { return fmt.Sprintf("%016x", uint64(d)) }

// epochCheck is what the worlds are compared with.
type epochCheck struct {
	*bench
	keys   pipeline.Digest // of all records whose keys can be read
	order  orderDigest
	window int
	first  *worldCheck
}

// checkEpoch lets every world go through an epoch.
func (b *bench) checkEpoch(ctx context.Context) error {
	e := &epochCheck{bench: b}
	if err := e.expect(); err != nil {
		return err
	}
	list := worlds
	if b.World > 0 {
		list = []int{b.World}
	}
	if !b.JSON {
		if err := e.heading(); err != nil {
			return err
		}
	}
	var differ []string
	var most *worldCheck
	for _, world := range list {
		w, err := e.world(ctx, world)
		if err != nil {
			return fmt.Errorf("check-epoch: world %d: %w", world, err)
		}
		if err := e.print(w); err != nil {
			return err
		}
		if !w.Same {
			differ = append(differ, fmt.Sprintf("world %d: %s", world, strings.Join(w.Differs, "; ")))
		}
		if most == nil || len(w.Skipped) > len(most.Skipped) {
			most = w
		}
	}
	if !b.JSON {
		if err := b.listSkipped(most.Skipped); err != nil {
			return err
		}
	}
	if len(differ) > 0 {
		return fmt.Errorf("check-epoch: the epoch is not what it should be: %s", strings.Join(differ, ", "))
	}
	return nil
}

// expect works out what an epoch should be.
func (e *epochCheck) expect() (err error) {
	if e.keys, _, err = pipeline.DigestOf(e.split); err != nil {
		return err
	}
	o := pipeline.Ordering{Seed: e.Seed, Rows: e.split.Len()}
	if e.Shuffle == pipeline.ShuffleBlock {
		// The default depends on the memory of the moment.
		if e.window = e.Window; e.window == 0 {
			e.window = pipeline.DefaultWindow(e.split)
		}
		o.Block, o.Window = pipeline.BlockRows(e.split.RowBytes()), e.window
	}
	batch := min(e.Batch, e.split.Len())
	for i, index := range o.Epoch(0) {
		e.order.add(i/batch, i%batch, int64(index))
	}
	return nil
}

// world lets all ranks of a world go through the epoch, one after another.
func (e *epochCheck) world(ctx context.Context, world int) (*worldCheck, error) {
	w := &worldCheck{World: world, holes: map[int64]string{}}
	for rank := range world {
		if err := e.rank(ctx, w, rank); err != nil {
			return nil, fmt.Errorf("rank %d: %w", rank, err)
		}
	}
	want := e.keys
	for _, index := range slices.Sorted(maps.Keys(w.holes)) {
		w.Skipped = append(w.Skipped, skipped{index, w.holes[index]})
		if key, err := e.split.Key(int(index)); err == nil {
			want = want.Sub(pipeline.DigestOfKey(key))
		}
	}
	w.Records = w.keys.Records
	w.Digest, w.Want = w.keys.String(), want.String()
	w.Order, w.WantOrder = w.order.String(), e.order.String()
	if e.first == nil {
		e.first = w
	}
	if w.Digest != w.Want {
		w.Differs = append(w.Differs, fmt.Sprintf("the records are %s, and should be %s", w.Digest, w.Want))
	}
	if w.Order != w.WantOrder {
		w.Differs = append(w.Differs, fmt.Sprintf("the order is %s, and should be %s", w.Order, w.WantOrder))
	}
	if !slices.EqualFunc(w.Skipped, e.first.Skipped, func(a, b skipped) bool { return a.Index == b.Index }) {
		w.Differs = append(w.Differs, fmt.Sprintf("not the same %d records are skipped as with world %d", len(e.first.Skipped), e.first.World))
	}
	w.Same = len(w.Differs) == 0
	return w, nil
}

// rank adds what a rank delivers in the epoch.
func (e *epochCheck) rank(ctx context.Context, w *worldCheck, rank int) (err error) {
	shape := e.data.Manifest.Shape
	p, err := pipeline.OpenSplit(ctx, e.data, e.split, pipeline.Options{
		Batch: e.Batch, Crop: min(epochCrop, shape.H, shape.W), Type: augment.Stored, Seed: e.Seed, Train: true,
		Shuffle: e.Shuffle, Window: e.window, Rank: rank, World: w.World, Workers: e.Workers, Requests: e.Requests, Depth: e.Depth,
		OnCorrupt: e.OnCorrupt,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	for batch := range p.Batches() {
		w.keys = w.keys.Add(batch.Keys)
		for i, index := range batch.Indices {
			w.order.add(batch.Step, batch.First+i, index)
		}
		for _, s := range batch.Skipped {
			w.holes[batch.Indices[s.Slot]] = s.Err.Error()
		}
		batch.Release()
	}
	return p.Err()
}

// heading says what should come.
func (e *epochCheck) heading() error {
	shuffle := e.Shuffle.String()
	if e.window > 0 {
		shuffle += fmt.Sprintf(", window %d", e.window)
	}
	_, err := fmt.Fprintf(e.stdout, "epoch 0 of split %q: %d records, digest %v, batches of %d, seed %d, shuffle %s\n\n%5s  %-25s  %-25s  %-16s  %s\n",
		e.split.Name(), e.split.Len(), e.keys, min(e.Batch, e.split.Len()), e.Seed, shuffle,
		"world", "records delivered", "records there are", "order delivered", "order wanted")
	return err
}

// print prints the result of a world.
func (e *epochCheck) print(w *worldCheck) error {
	if e.JSON {
		return json.NewEncoder(e.stdout).Encode(w)
	}
	verdict := "same"
	if !w.Same {
		verdict = "DIFFERS"
	}
	if n := len(w.Skipped); n > 0 {
		verdict += fmt.Sprintf(", %d skipped", n)
	}
	_, err := fmt.Fprintf(e.stdout, "%5d  %-25s  %-25s  %-16s  %-16s  %s\n", w.World, w.Digest, w.Want, w.Order, w.WantOrder, verdict)
	return err
}

// listSkipped lists the skipped records.
func (b *bench) listSkipped(list []skipped) error {
	if len(list) == 0 {
		return nil
	}
	if _, err := fmt.Fprintf(b.stdout, "\n%d records skipped (\"records there are\" leaves them out):\n", len(list)); err != nil {
		return err
	}
	for _, s := range list {
		if _, err := fmt.Fprintf(b.stdout, "  %s\n", s.Error); err != nil {
			return err
		}
	}
	return nil
}
