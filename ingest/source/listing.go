package source

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// A listing is what a scan found for one split. Labels are still missing.
type listing struct {
	split   string
	items   []Item
	classed bool     // keys are "class/file", not "file"
	whole   bool     // a whole ImageNet, not the contest's part of it
	path    string   // where it was found: a folder or an archive
	from    []string // the names of what it was read from, for Describe
	skips   []Skip
}

func newListing(split string) *listing { return &listing{split: split} }

// takes says whether a file by its name is an image; one that is not, it counts.
func (l *listing) takes(name string, plain bool) bool {
	switch {
	case strings.HasPrefix(name, "."):
		l.skip("hidden file", name)
	case !hasImageName(name):
		l.skip("no image extension", name)
	case !plain:
		l.skip("not a regular file", name)
	case !utf8.ValidString(name):
		l.skip("name is not UTF-8", fmt.Sprintf("%q", name))
	default:
		return true
	}
	return false
}

// skip counts a file that is no item.
func (l *listing) skip(reason, name string) {
	l.skips = addSkip(l.skips, Skip{Split: l.split, Reason: reason, Count: 1, Examples: []string{name}})
}

// maxExamples is how many names a Skip keeps.
const maxExamples = 3

// addSkip adds s to the entry for its split and reason.
func addSkip(skips []Skip, s Skip) []Skip {
	for i := range skips {
		if t := &skips[i]; t.Split == s.Split && t.Reason == s.Reason {
			t.Count += s.Count
			t.Examples = append(t.Examples, s.Examples[:min(len(s.Examples), maxExamples-len(t.Examples))]...)
			return skips
		}
	}
	return append(skips, s)
}

// add appends an image.
func (l *listing) add(class, name string, size int64, where place) {
	key := name
	if class != "" {
		key = class + "/" + name
		l.classed = true
	}
	l.items = append(l.items, Item{Key: key, Label: -1, Size: size, at: where})
}

// emptyClass says that a class has no image.
func (l *listing) emptyClass() error {
	if len(l.skips) == 0 {
		return errors.New("is empty")
	}
	s := l.skips[0]
	return fmt.Errorf("holds no image (.JPEG, .jpg, .png), only other files (%s: %s)", s.Examples[0], s.Reason)
}

// join takes over the listings of the classes, whose keys are packed, and lets
// go of each: there may be 14 million items.
func (l *listing) join(classes []*listing) {
	n := 0
	for _, c := range classes {
		n += len(c.items)
	}
	l.classed = true
	l.items = make([]Item, 0, n)
	for i, c := range classes {
		l.items = append(l.items, c.items...)
		for _, s := range c.skips {
			l.skips = addSkip(l.skips, s)
		}
		classes[i] = nil
	}
}

// packKeys moves the keys into one piece of memory. A million strings of their
// own would cost the allocator's rounding, and the garbage collector time.
func (l *listing) packKeys() {
	n := 0
	for i := range l.items {
		n += len(l.items[i].Key)
	}
	var all strings.Builder
	all.Grow(n)
	for i := range l.items {
		all.WriteString(l.items[i].Key)
	}
	rest := all.String()
	for i := range l.items {
		n := len(l.items[i].Key)
		l.items[i].Key, rest = rest[:n], rest[n:]
	}
}

// sort orders the items by key. Two with the same key are an error.
func (l *listing) sort() error {
	slices.SortFunc(l.items, func(a, b Item) int { return cmp.Compare(a.Key, b.Key) })
	for i := 1; i < len(l.items); i++ {
		if l.items[i].Key == l.items[i-1].Key {
			return fmt.Errorf("holds %s twice", l.items[i].Key)
		}
	}
	return nil
}

// classOf is the part of a key that names the class: "n01440764" of
// "n01440764/n01440764_10026.JPEG".
func classOf(key string) string {
	class, _, _ := strings.Cut(key, "/")
	return class
}
