package source

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"

	"alexnet/records"
	"alexnet/records/bucket"
)

// Open looks at path, which is a folder in one of the layouts, a folder that
// holds the archives, or one of the archives, lists all images, and labels
// them. It reads headers, labels and folders only, no image, but for gzipped
// sets, which it unpacks into memory (CIFAR-10's archive takes 184 MB), and for
// Options.CheckMD5.
//
// The classes of a whole ImageNet, such as fall11_whole.tar, are the WNIDs that
// it has; a devkit beside it does not limit them to its 1,000. Where it labels a
// flat validation split, its 1,000 are added to the list.
//
// Errors are *IOError (a file is missing or unreadable), *MalformedError (a tar,
// ground truth, class file or meta.mat is broken), *UnsupportedError (nothing
// that images and labels can be taken from, or a class outside the list), or
// the context's.
func Open(ctx context.Context, path string, o Options) (Source, error) {
	if err := o.check(path); err != nil {
		return nil, err
	}
	return openIn(ctx, disk{}, path, o)
}

// OpenFolder opens what lies in a store as Open does: name is the folder or the
// archive, relative to folder, "" for all of folder. Lists that label a set may
// lie above name, as far as folder reaches. Folders are listed, and class folders
// many at a time; an image is one request, and so is what is read at once of an
// archive that is scanned. Sets of raw pixels, gzipped or not, are read whole.
//
// The folder stays the caller's to close, after the source. An object that is
// replaced after it was listed is an *IOError, which wraps bucket.ErrChanged
// where the size is the same and the store tells versions in its listings. A
// request that failed for good is an *IOError that wraps the *bucket.Error; it
// ends Open, whatever it was for, as nothing can be said of what was not seen.
func OpenFolder(ctx context.Context, folder bucket.Folder, name string, o Options) (Source, error) {
	if err := o.check(folder.Name() + "/" + name); err != nil {
		return nil, err
	}
	s, err := openStore(ctx, folder, name)
	if err != nil {
		return nil, err
	}
	return openIn(ctx, s, s.address(s.top.Name), o)
}

// check refuses values that are not possible.
func (o Options) check(path string) error {
	if o.Layout != "" && !slices.Contains(allLayouts[:], o.Layout) {
		last := len(allLayouts) - 1
		return &UnsupportedError{Path: path, Reason: fmt.Sprintf("the layout %q is not known", o.Layout),
			Hint: "use " + strings.Join(allLayouts[:last], ", ") + " or " + allLayouts[last]}
	}
	if o.Limit < 0 {
		return &UnsupportedError{Path: path, Reason: fmt.Sprintf("a limit of %d images", o.Limit), Hint: "give a number above 0, or 0 for all"}
	}
	return nil
}

// openIn opens what lies at a path of a tree.
func openIn(ctx context.Context, t tree, path string, o Options) (Source, error) {
	p, err := detect(ctx, t, path, o.Layout)
	if err = cmp.Or(t.failed(), err); err != nil {
		return nil, err
	}
	s := &opened{path: path, tree: t, plan: p, kit: &devkit{}, skips: p.skips}
	err = s.open(ctx, o)
	if err = cmp.Or(t.failed(), err); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.remote = slices.ContainsFunc(s.roots, func(r root) bool { return r.remote() })
	s.tree = nil // lets go of what was looked at
	return s, nil
}

// opened is the one implementation of Source: splits whose items lie in roots.
type opened struct {
	path    string
	tree    tree // while it is opened
	remote  bool
	plan    *plan
	kit     *devkit
	classes []records.Class
	listed  string // where the class list is from
	splits  []Split
	from    []string // where each of them lies, for Describe
	skips   []Skip
	counts  map[string]int // the published numbers of images
	md5     *checked       // nil where nothing was to be checked
	scanned []byte         // the index that SaveIndex is to write, nil if none; guarded by mu

	mu     sync.RWMutex // held for reading while a root reads
	roots  []root
	closed bool
}

// open lists the items with their labels, and brings them into order.
func (s *opened) open(ctx context.Context, o Options) (err error) {
	if o.CheckMD5 {
		if err := s.checkMD5(ctx, o); err != nil {
			return err
		}
	}
	var lists []*listing
	if s.plan.raster != nil {
		lists, err = s.listRaster(ctx, o)
	} else {
		lists, err = s.listParts(ctx, o)
	}
	if err != nil {
		return err
	}
	for _, l := range lists {
		if err := l.sort(); err != nil {
			return &MalformedError{File: l.path, Cause: err, Hint: "keep one of the two"}
		}
		l.limit(o.Limit, o.Seed)
		s.from = append(s.from, describeFrom(l.from))
		s.splits = append(s.splits, Split{Name: l.split, Items: l.items})
		for _, k := range l.skips {
			s.skips = addSkip(s.skips, k)
		}
	}
	if o.Limit > 0 {
		s.counts = nil
	}
	return nil
}

// checkMD5 checks all that can be, before it is scanned.
func (s *opened) checkMD5(ctx context.Context, o Options) (err error) {
	var files, folders []string
	if s.plan.raster != nil {
		files = s.plan.raster.files()
	}
	for _, p := range s.plan.parts {
		if p.archive {
			files = append(files, p.path)
		} else {
			folders = append(folders, p.describe())
		}
	}
	for _, home := range s.plan.homes {
		kit, err := findDevkitArchive(s.tree, home)
		if err != nil {
			return err
		}
		if kit != "" {
			files = append(files, kit)
		}
	}
	if s.md5, err = checkMD5(ctx, s.tree, files, o.OnCheck); err == nil {
		s.md5.none = append(s.md5.none, folders...)
	}
	return err
}

// listRaster lists a set of raw pixels.
func (s *opened) listRaster(ctx context.Context, o Options) ([]*listing, error) {
	set := s.plan.raster
	if o.ClassesFile != "" {
		return nil, &UnsupportedError{Path: s.path, Reason: "is a set whose classes are fixed (" + s.plan.layout + ")", Hint: "leave --classes out"}
	}
	lists, roots, err := set.list(ctx)
	s.roots = roots
	if err != nil {
		return nil, err
	}
	s.classes, s.listed = set.classes(), s.plan.layout
	s.counts = map[string]int{}
	for _, l := range lists {
		s.counts[l.split] = set.images(l.split)
	}
	return lists, nil
}

// listParts scans the parts, makes the class list and labels the items.
func (s *opened) listParts(ctx context.Context, o Options) (lists []*listing, err error) {
	if o.Layout != LayoutFolder {
		if s.kit, err = findDevkit(s.tree, s.plan.homes); err != nil {
			return nil, err
		}
	}
	var known *index
	if slices.ContainsFunc(s.plan.parts, func(p part) bool { return p.archive }) {
		if known, err = openIndex(o); err != nil {
			return nil, err
		}
	}
	found := &index{}
	for _, part := range s.plan.parts {
		l, err := s.scan(ctx, part, known, found, o.OnScan)
		if err != nil {
			return nil, s.deeper(err)
		}
		l.path = part.path
		if l.from == nil {
			l.from = []string{part.describe()}
		}
		lists = append(lists, l)
	}
	if err := s.keepIndex(found); err != nil {
		return nil, err
	}
	label, err := s.classify(lists, o.ClassesFile)
	if err != nil {
		return nil, err
	}
	for i, l := range lists {
		if err := label.split(s.plan.parts[i], l); err != nil {
			return nil, err
		}
	}
	s.counts = published(s.plan.parts, lists, s.classes)
	return lists, nil
}

// deeper replaces the error of a folder of class folders that is none.
func (s *opened) deeper(err error) error {
	if _, ok := errors.AsType[*UnsupportedError](err); !ok || s.plan.layout != LayoutFolder {
		return err
	}
	folders, listErr := subfolders(s.tree, s.path)
	if listErr != nil {
		return err
	}
	if deeper := deeperError(s.tree, s.path, folders); deeper != nil {
		return deeper
	}
	return err
}

// scan lists one part and makes its root. An archive that is in the index known,
// if there is one, is not scanned; archives are added to the index found.
func (s *opened) scan(ctx context.Context, p part, known, found *index, onScan func(string, int64, int64)) (*listing, error) {
	if !p.archive {
		l, err := scanFolder(ctx, s.tree, p.path, p.split, len(s.roots))
		if err != nil {
			return nil, err
		}
		s.roots = append(s.roots, s.tree.images(p.path))
		return l, nil
	}
	f, err := openTar(s.tree, p.path)
	if err != nil {
		return nil, err
	}
	s.roots = append(s.roots, tarRoot{f})
	if known != nil {
		if l := known.find(f.id, p.split, len(s.roots)-1); l != nil {
			found.add(f.id, l)
			l.from = []string{indexed(p.describe())}
			return l, nil
		}
	}
	l, err := scanArchive(ctx, tarFile{
		r: f.ReaderAt, name: p.path, size: f.id.Size, number: len(s.roots) - 1,
		reach: reachOf(f.ReaderAt), tars: s.tree.scanners(), onScan: onScan,
	}, p.split)
	if err != nil {
		return nil, err
	}
	if len(l.items) == 0 {
		return nil, &UnsupportedError{Path: p.path, Reason: l.emptyClass().Error(), Hint: downloadHint(p.path)}
	}
	if known != nil {
		found.add(f.id, l)
		found.stale = true
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
func (s *opened) Remote() bool             { return s.remote }

func (s *opened) Official() map[string]int { return maps.Clone(s.counts) }

func (s *opened) Shape() records.Shape {
	if s.plan.raster == nil {
		return records.Shape{}
	}
	return s.plan.raster.shape()
}

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
	return s.roots[it.at.root()].read(ctx, it, buf)
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
		fmt.Fprintf(&b, "%s %d images (%s), ", split.Name, len(split.Items), s.from[i])
	}
	fmt.Fprintf(&b, "%d classes (%s)", len(s.classes), s.listed)
	ignored := 0
	for _, k := range s.skips {
		ignored += k.Count
	}
	if ignored > 0 {
		fmt.Fprintf(&b, ", %d other files ignored", ignored)
	}
	if s.md5 != nil {
		s.md5.describe(&b)
	}
	return b.String()
}

// describeFrom names one file or the first and last of many.
func describeFrom(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return fmt.Sprintf("%d files, %s to %s", len(names), names[0], names[len(names)-1])
}

// describe says where a part lies.
func (p part) describe() string {
	name := bases([]string{p.path})[0]
	if p.archive {
		return name
	}
	return name + "/"
}
