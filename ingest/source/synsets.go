package source

import (
	_ "embed"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// synsetTable holds the 1,000 synsets, one a line and sorted by WNID: WNID, tab,
// devkit id, tab, words. It was made from the devkit's data/meta.mat.
//
//go:embed synsets.tsv
var synsetTable string

// A Synset is one of WordNet's sets of synonyms as the devkit lists it.
type Synset struct {
	WNID  string // WordNet's name for it, "n02119789"
	ID    int32  // ILSVRC2012_ID: 1 to 1000 for the classes of the contest
	Words string // its words, "kit fox, Vulpes macrotis"
}

// ILSVRC2012 returns the 1,000 synsets of the contest sorted by WNID, so that
// the index of a synset is its label. The slice is the caller's.
func ILSVRC2012() []Synset { return slices.Clone(officialSynsets()) }

// officialSynsets parses the embedded table once. Callers must not change it.
var officialSynsets = sync.OnceValue(func() []Synset { //nolint:gochecknoglobals // read only
	table := make([]Synset, 0, 1000)
	for line := range strings.Lines(synsetTable) {
		wnid, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		id, words, _ := strings.Cut(rest, "\t")
		n, _ := strconv.Atoi(id) // the test of the table checks every field
		table = append(table, Synset{WNID: wnid, ID: int32(n), Words: words})
	}
	return table
})

// officialByID returns the synset with a devkit id of 1 to 1000.
func officialByID(id int32) (Synset, bool) {
	index := officialOrder()
	if id < 1 || int(id) >= len(index) {
		return Synset{}, false
	}
	return officialSynsets()[index[id]], true
}

// officialOrder maps a devkit id to the index in sorted-WNID order; entry 0 is
// not used. The two orders are not the same.
var officialOrder = sync.OnceValue(func() []int32 { //nolint:gochecknoglobals // read only
	table := officialSynsets()
	order := make([]int32, len(table)+1)
	for i, s := range table {
		order[s.ID] = int32(i)
	}
	return order
})

// officialByWNID finds a synset of the 1,000 by its WNID.
func officialByWNID(wnid string) (Synset, bool) {
	table := officialSynsets()
	i, ok := slices.BinarySearchFunc(table, wnid, func(s Synset, w string) int { return strings.Compare(s.WNID, w) })
	if !ok {
		return Synset{}, false
	}
	return table[i], true
}

// isWNID says whether s has the form of a WordNet noun id: n and eight digits.
func isWNID(s string) bool {
	if len(s) != 9 || s[0] != 'n' {
		return false
	}
	for _, c := range []byte(s[1:]) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}
