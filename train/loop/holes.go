package loop

import (
	"fmt"

	"alexnet/pipeline"
)

// maxNamed is how many of the records that are skipped are named to the user.
const maxNamed = 20

// holes remembers what the user knows of the records that are skipped. It is not
// part of a checkpoint: a resumed run names them anew.
type holes struct {
	lost    map[string]bool // shards that are missing or damaged as a whole
	seen    map[int64]bool  // rows of other shards
	named   int             // of those
	unnamed int             // since they were last counted
}

// tellLost names the shards that cannot be opened.
func (t *trainer) tellLost() {
	t.holes = holes{lost: map[string]bool{}, seen: map[int64]bool{}}
	for _, b := range t.train.Broken() {
		t.holes.lost[b.File] = true
		t.say(fmt.Sprintf("warning: the %d records of %s are skipped: %v", b.Rows, b.File, b.Err))
	}
}

// tellHoles names the records of a batch that were skipped, unless they were named
// before, are of a shard that was, or there are too many.
func (t *trainer) tellHoles(batch *pipeline.Batch) {
	h := &t.holes
	for _, s := range batch.Skipped {
		row := batch.Indices[s.Slot]
		if file, _, err := t.train.Locate(int(row)); err == nil && h.lost[file] || h.seen[row] {
			continue
		}
		h.seen[row] = true
		if h.named == maxNamed {
			h.unnamed++
			continue
		}
		h.named++
		t.hooks.Message(fmt.Sprintf("warning: skipped: %v", s.Err))
	}
}

// countHoles tells how many records were not named since it was last called.
func (t *trainer) countHoles() {
	if h := &t.holes; h.unnamed > 0 {
		t.hooks.Message(fmt.Sprintf("warning: %d more damaged records were skipped, %d different ones so far; `inspect verify` says which files are damaged", h.unnamed, len(h.seen)))
		h.unnamed = 0
	}
}
