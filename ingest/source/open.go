package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"alexnet/records"
)

// Open looks at path, which is a folder in one of the layouts, a folder that
// holds the archives, or one of the archives, lists all images, and labels
// them. It reads headers and folders only, no image.
//
// Errors are *IOError (a file is missing or unreadable), *MalformedError (a tar,
// ground truth, class file or meta.mat is broken), *UnsupportedError (nothing
// that images and labels can be taken from, or a class outside the list), or
// the context's.
func Open(ctx context.Context, path string, o Options) (Source, error) {
	p, err := detect(ctx, path, o.Layout)
	if err != nil {
		return nil, err
	}
	s := &opened{path: path, skips: p.skips}
	if err := s.open(ctx, p, o); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// opened is the one implementation of Source: splits whose items lie in roots.
type opened struct {
	path    string
	plan    *plan
	kit     *devkit
	classes []records.Class
	listed  string // where the class list is from
	splits  []Split
	skips   []Skip

	mu     sync.RWMutex // held for reading while a root reads
	roots  []root
	closed bool
}

// open scans the parts, makes the class list and labels the items.
func (s *opened) open(ctx context.Context, p *plan, o Options) (err error) {
	if o.Limit < 0 {
		return &UnsupportedError{Path: s.path, Reason: fmt.Sprintf("a limit of %d images", o.Limit), Hint: "give a number above 0, or 0 for all"}
	}
	s.plan, s.kit = p, &devkit{}
	if !p.plain || o.Layout != LayoutFolder {
		if s.kit, err = findDevkit(p.home); err != nil {
			return err
		}
	}
	var lists []*listing
	for _, part := range p.parts {
		l, err := s.scan(ctx, part)
		if err != nil {
			return err
		}
		lists = append(lists, l)
	}
	label, err := s.classify(lists, o.ClassesFile)
	if err != nil {
		return err
	}
	for i, l := range lists {
		if err := label.split(p.parts[i], l); err != nil {
			return err
		}
		if err := l.sort(); err != nil {
			return &MalformedError{File: p.parts[i].path, Cause: err, Hint: "keep one of the two"}
		}
		l.limit(o.Limit, o.Seed)
		s.splits = append(s.splits, Split{Name: l.split, Items: l.items})
		for _, k := range l.skips {
			s.skips = addSkip(s.skips, k)
		}
	}
	return nil
}

// scan lists one part and makes its root.
func (s *opened) scan(ctx context.Context, p part) (*listing, error) {
	if !p.archive {
		l, err := scanFolder(ctx, p.path, p.split, len(s.roots))
		if err != nil {
			return nil, err
		}
		s.roots = append(s.roots, folderRoot{p.path})
		return l, nil
	}
	f, size, err := openTar(p.path)
	if err != nil {
		return nil, err
	}
	s.roots = append(s.roots, tarRoot{f})
	l, err := scanArchive(ctx, f, size, p.split, len(s.roots)-1)
	if err != nil {
		return nil, err
	}
	if len(l.items) == 0 {
		return nil, &UnsupportedError{Path: p.path, Reason: l.emptyClass().Error(), Hint: downloadHint(p.path)}
	}
	return l, nil
}

// limit keeps the first n items of the seeded permutation, sorted by key.
func (l *listing) limit(n int, seed uint64) {
	if n == 0 || n >= len(l.items) {
		return
	}
	order := records.Permutation("limit", seed, 0, len(l.items))[:n]
	slices.Sort(order) // the items are sorted by key, and so their numbers
	kept := make([]Item, n)
	for i, j := range order {
		kept[i] = l.items[j]
		kept[i].Key = strings.Clone(kept[i].Key) // lets go of the other keys
	}
	l.items = kept
}

func (s *opened) Classes() []records.Class { return s.classes }
func (s *opened) Splits() []Split          { return s.splits }
func (s *opened) Skipped() []Skip          { return s.skips }

func (s *opened) Read(ctx context.Context, it *Item, buf []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return nil, &IOError{File: it.Key, Err: fs.ErrClosed, Hint: "read before the source is closed"}
	}
	if it.at.root() >= len(s.roots) {
		return nil, &UnsupportedError{Path: it.Key, Reason: "is an item of another source"}
	}
	if it.Size > MaxImageBytes {
		return nil, &UnsupportedError{Path: it.Key, Reason: fmt.Sprintf("has %d bytes, an image may have %d", it.Size, MaxImageBytes)}
	}
	return s.roots[it.at.root()].read(it, buf)
}

func (s *opened) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	var errs []error
	for _, r := range s.roots {
		errs = append(errs, r.close())
	}
	return errors.Join(errs...)
}

func (s *opened) Describe() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: ", s.path)
	for i, split := range s.splits {
		part := s.plan.parts[i]
		fmt.Fprintf(&b, "%s %d images (%s), ", split.Name, len(split.Items), part.describe())
	}
	fmt.Fprintf(&b, "%d classes (%s)", len(s.classes), s.listed)
	ignored := 0
	for _, k := range s.skips {
		ignored += k.Count
	}
	if ignored > 0 {
		fmt.Fprintf(&b, ", %d other files ignored", ignored)
	}
	return b.String()
}

// describe says where a part lies.
func (p part) describe() string {
	name := bases([]string{p.path})[0]
	if p.archive {
		return name
	}
	return name + "/"
}
