package cache

import (
	"cmp"
	"container/list"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"alexnet/records/atomicfile"
)

const (
	suffix = ".block"

	// touchAfter is how old a file's time gets before a read renews it: the times
	// are the order of use for other processes and later ones, and need not be exact.
	touchAfter = time.Minute

	// staleAfter is the age of a temporary that nobody writes any more.
	staleAfter = time.Hour

	// looks is how often the folder is looked through while the cache's bytes are
	// written once: what other processes have put there counts, too.
	looks = 8
)

// store is the folder of blocks and what is known of it.
type store struct {
	dir   string
	bytes int64
	// put writes a file; another function in tests.
	put func(path string, b []byte) error

	mu        sync.Mutex
	entries   map[string]*list.Element // by file name
	held      map[string]bool          // file names of the objects that this process reads
	own       list.List                // of *entry, those of held files, the least recently used first
	others    list.List                // the same of all other files, which may go
	kept      int64                    // bytes of the entries
	spare     int64                    // bytes of others
	coming    int64                    // bytes of files that are being written
	written   int64                    // since the last look
	changed   map[string]bool          // file names since a look began; nil when there is none
	evictions int64
}

// entry is a file of the folder.
type entry struct {
	name     string
	size     int64
	used     time.Time // as the file's time says
	verified bool      // its checksum was seen to be right by this process
}

// openStore makes the folder and finds what lies in it.
func openStore(dir string, limit int64) (*store, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, fmt.Errorf("making the cache's folder: %w", err)
	}
	s := &store{dir: dir, bytes: limit, put: putFile, entries: map[string]*list.Element{}, held: map[string]bool{}}
	if err := s.look(); err != nil {
		return nil, fmt.Errorf("looking through the cache's folder: %w", err)
	}
	return s, nil
}

// errNoRoom says that all blocks that are kept are of objects that are being read.
var errNoRoom = errors.New("the cache is full")

// hold says that blocks are of an object that this process reads, or is not any more:
// then they may go.
func (s *store) hold(names []string, held bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range names {
		element := s.entries[name]
		if element != nil {
			s.drop(name)
		}
		if held {
			s.held[name] = true
		} else {
			delete(s.held, name)
		}
		if element != nil {
			s.add(element.Value.(*entry))
		}
	}
}

// add puts an entry behind those that were used before it.
func (s *store) add(e *entry) {
	s.change(e.name)
	s.kept += e.size
	if s.held[e.name] {
		s.entries[e.name] = s.own.PushBack(e)
		return
	}
	s.entries[e.name] = s.others.PushBack(e)
	s.spare += e.size
}

// change notes that a look knows a file as it was.
func (s *store) change(name string) {
	if s.changed != nil {
		s.changed[name] = true
	}
}

// room says whether so many bytes more can be kept.
func (s *store) room(size int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kept-s.spare+s.coming+size <= s.bytes
}

// path is where a file lies.
func (s *store) path(name string) string { return filepath.Join(s.dir, name[:2], name) }

// isBlock says whether a file name is one of this package's; others in the folder
// are nobody's business here.
func isBlock(folder, name string) bool {
	digits, ok := strings.CutSuffix(name, suffix)
	return ok && len(digits) == 32 && strings.Trim(digits, "0123456789abcdef") == "" && digits[:2] == folder
}

// look reads the folder: who other processes have put there or evicted, counts. What this
// one does meanwhile, it knows better. Where another look is under way, it does nothing.
func (s *store) look() error {
	s.mu.Lock()
	under := s.changed != nil
	if !under {
		s.changed, s.written = map[string]bool{}, 0
	}
	s.mu.Unlock()
	if under {
		return nil
	}
	found, err := s.files()
	slices.SortFunc(found, func(a, b *entry) int { return cmp.Or(a.used.Compare(b.used), strings.Compare(a.name, b.name)) })
	s.mu.Lock()
	defer s.mu.Unlock()
	changed, old := s.changed, s.entries
	s.changed = nil
	if err != nil {
		return err
	}
	s.entries, s.kept, s.spare = map[string]*list.Element{}, 0, 0
	s.own.Init()
	s.others.Init()
	for _, e := range found {
		if changed[e.name] {
			continue
		}
		if before := old[e.name]; before != nil {
			was := before.Value.(*entry)
			e.verified = was.verified && was.size == e.size
		}
		s.add(e)
	}
	for name := range changed {
		if element := old[name]; element != nil {
			s.add(element.Value.(*entry))
		}
	}
	s.shrink()
	return nil
}

// files lists the blocks, and removes temporaries that were left behind.
func (s *store) files() ([]*entry, error) {
	folders, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	var found []*entry
	for _, folder := range folders {
		if len(folder.Name()) != 2 || !folder.IsDir() {
			continue
		}
		files, err := os.ReadDir(filepath.Join(s.dir, folder.Name()))
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			info, err := file.Info()
			switch base, _, temp := strings.Cut(file.Name(), ".tmp-"); {
			case err != nil: // gone since
			case isBlock(folder.Name(), file.Name()):
				found = append(found, &entry{name: file.Name(), size: info.Size(), used: info.ModTime()})
			case temp && isBlock(folder.Name(), base) && atomicfile.IsTemp(file.Name()) && time.Since(info.ModTime()) > staleAfter:
				_ = os.Remove(filepath.Join(s.dir, folder.Name(), file.Name())) // or the next look does
			}
		}
	}
	return found, nil
}

// counts returns the bytes kept and the blocks evicted.
func (s *store) counts() (kept, evictions int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kept, s.evictions
}

// read fills p with a block's bytes from at on. No file has more than most bytes, for
// which memory of the pool has room: it is taken only where a file must be verified. The
// error wraps fs.ErrNotExist or errDamaged where the block must be fetched, and
// io.ErrUnexpectedEOF where it is shorter than that; others are a miss, too.
func (s *store) read(k key, p []byte, at, most int64, pool *sync.Pool) error {
	_, name := k.file()
	f, err := os.Open(s.path(name))
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			s.forget(name)
		}
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() > most {
		return s.discard(name)
	}
	if s.use(name, info) {
		if at+int64(len(p)) > info.Size()-int64(footerSize) {
			return io.ErrUnexpectedEOF
		}
		_, err := f.ReadAt(p, at)
		return err
	}
	buffer := pool.Get().(*[]byte)
	defer pool.Put(buffer)
	file := (*buffer)[:info.Size()]
	if _, err := io.ReadFull(f, file); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return err
	}
	b, err := unseal(k, file)
	if err != nil {
		return s.discard(name)
	}
	s.trust(name, info.Size())
	if at+int64(len(p)) > int64(len(b)) {
		return io.ErrUnexpectedEOF
	}
	copy(p, b[at:])
	return nil
}

// use makes a file the last used one and says whether it has been verified, as a
// file of that length.
func (s *store) use(name string, info fs.FileInfo) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	element := s.entries[name]
	if element == nil { // another process's
		s.add(&entry{name: name, size: info.Size(), used: info.ModTime()})
		element = s.entries[name]
	}
	s.own.MoveToBack(element) // whichever it is in
	s.others.MoveToBack(element)
	e := element.Value.(*entry)
	if now := time.Now(); now.Sub(e.used) > touchAfter {
		e.used = now
		_ = os.Chtimes(s.path(name), now, now) // it is only evicted sooner
	}
	return e.verified && e.size == info.Size()
}

// trust notes that a file's checksum is right.
func (s *store) trust(name string, size int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if element := s.entries[name]; element != nil {
		e := element.Value.(*entry)
		s.drop(name)
		e.size, e.verified = size, true
		s.add(e)
	}
}

// forget notes that a file is gone.
func (s *store) forget(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(name)
}

// drop is forget for one who holds the lock.
func (s *store) drop(name string) {
	s.change(name)
	if element := s.entries[name]; element != nil {
		size := element.Value.(*entry).size
		s.kept -= size
		if !s.held[name] {
			s.spare -= size
		}
		s.own.Remove(element) // whichever it is in
		s.others.Remove(element)
		delete(s.entries, name)
	}
}

// discard removes a file that is damaged.
func (s *store) discard(name string) error {
	s.forget(name)
	_ = os.Remove(s.path(name)) // one that cannot be removed is replaced
	return errDamaged
}

// write keeps a block, or returns errNoRoom. b must have room for the footer.
func (s *store) write(k key, b []byte) error {
	folder, name := k.file()
	if err := os.MkdirAll(filepath.Join(s.dir, folder), 0o777); err != nil {
		return err
	}
	file := seal(k, b)
	size := int64(len(file))
	s.mu.Lock()
	s.coming += size // room is made first, so that the bound holds at any moment
	s.evict(&s.others)
	if s.kept+s.coming > s.bytes {
		s.coming -= size
		s.mu.Unlock()
		return errNoRoom
	}
	s.mu.Unlock()
	err := s.put(s.path(name), file)
	s.mu.Lock()
	s.coming -= size
	if err != nil {
		s.mu.Unlock()
		return err
	}
	s.drop(name)
	s.add(&entry{name: name, size: size, used: time.Now(), verified: true})
	s.written += size
	look := s.written > s.bytes/looks
	s.mu.Unlock()
	if look {
		return s.look()
	}
	return nil
}

// shrink brings the folder within the bound, by blocks that are read where there are no
// others: processes that share it have each kept some.
func (s *store) shrink() {
	s.evict(&s.others)
	s.evict(&s.own)
}

// evict removes the files of a list that were not used for longest until the rest of
// all is within the bound.
func (s *store) evict(from *list.List) {
	for s.kept+s.coming > s.bytes && from.Len() > 0 {
		name := from.Front().Value.(*entry).name
		s.drop(name)
		if err := os.Remove(s.path(name)); err == nil {
			s.evictions++
		}
	}
}

// putFile writes a file under a temporary name and renames it. It is not flushed
// to the disk: after a power cut its checksum decides.
func putFile(path string, b []byte) error {
	// Not by os.CreateTemp, whose files are for one user: a cache may serve several.
	temp := fmt.Sprintf("%s.tmp-%d-%d", path, os.Getpid(), rand.Uint64())
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
