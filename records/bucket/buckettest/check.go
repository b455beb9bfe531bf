package buckettest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"slices"
	"strings"
	"sync"

	"alexnet/records/bucket"
)

// Check holds an empty Folder against what the interface says, and returns what is
// not so. It leaves nothing in it.
func Check(ctx context.Context, f bucket.Folder) error {
	c := check{ctx: ctx, f: f}
	return errors.Join(c.absent(), c.content(), c.versions(), c.listing(), c.creators(), c.empty())
}

type check struct {
	ctx context.Context
	f   bucket.Folder
}

// put puts an object.
func (c check) put(name, content string, how bucket.PutMode) error {
	return c.f.Put(c.ctx, name, strings.NewReader(content), int64(len(content)), how)
}

// expect is an error unless err wraps kind, and is the interface's.
func expect(what string, err, kind error) error {
	var own *bucket.Error
	if !errors.Is(err, kind) || !errors.As(err, &own) {
		return fmt.Errorf("%s: %s (%T), want a *bucket.Error that wraps %q", what, fmt.Sprint(err), err, fmt.Sprint(kind))
	}
	return nil
}

// absent asks for what is not there.
func (c check) absent() error {
	_, serr := c.f.Stat(c.ctx, "absent/x")
	_, _, oerr := c.f.Open(c.ctx, "absent/x")
	rerr := c.f.ReadAt(c.ctx, "absent/x", "", make([]byte, 1), 0)
	return errors.Join(
		expect("stat of nothing", serr, fs.ErrNotExist),
		expect("open of nothing", oerr, fs.ErrNotExist),
		expect("read of nothing", rerr, fs.ErrNotExist),
		c.f.Remove(c.ctx, "absent/x"),
		c.empty(),
	)
}

// empty says what is there.
func (c check) empty() error {
	for info, err := range c.f.List(c.ctx, "", true) {
		if err != nil {
			return err
		}
		return fmt.Errorf("there is %s in an empty folder", info.Name)
	}
	return nil
}

// odd is a name with what addresses, and libraries on the way, have a meaning of their
// own for.
const odd = "a/b c+d%#&é__0x2f__.txt"

// content puts objects and reads them.
func (c check) content() error {
	long := strings.Repeat("0123456789abcdef", 5000)
	for _, content := range []string{"", "x", long} {
		if err := c.put(odd, content, bucket.Replace); err != nil {
			return err
		}
		r, info, err := c.f.Open(c.ctx, odd)
		if err != nil {
			return err
		}
		got, err := io.ReadAll(r)
		if err = errors.Join(err, r.Close()); err != nil {
			return err
		}
		if string(got) != content || info.Size != int64(len(content)) || info.Name != odd || info.Version == "" {
			return fmt.Errorf("%d bytes read as %d, described as %+v", len(content), len(got), info)
		}
		stat, err := c.f.Stat(c.ctx, odd)
		if err != nil {
			return err
		}
		if stat.Size != info.Size || stat.Version != info.Version || stat.Name != info.Name {
			return fmt.Errorf("Stat says %+v, Open %+v", stat, info)
		}
	}
	for _, at := range [][2]int{{0, 1}, {0, len(long)}, {17, 1000}, {len(long) - 1, 1}, {5, 0}} {
		p := make([]byte, at[1])
		if err := c.f.ReadAt(c.ctx, odd, "", p, int64(at[0])); err != nil {
			return err
		}
		if !bytes.Equal(p, []byte(long[at[0]:at[0]+at[1]])) {
			return fmt.Errorf("the bytes %d to %d are others", at[0], at[0]+at[1])
		}
	}
	for _, at := range [][2]int{{0, len(long) + 1}, {len(long) - 1, 2}, {len(long), 1}, {len(long) + 7, 1}} {
		err := c.f.ReadAt(c.ctx, odd, "", make([]byte, at[1]), int64(at[0]))
		if err := expect(fmt.Sprintf("%d bytes from %d on of %d", at[1], at[0], len(long)), err, io.ErrUnexpectedEOF); err != nil {
			return err
		}
	}
	short := c.f.Put(c.ctx, "a/short", strings.NewReader("x"), 2, bucket.Replace)
	_, err := c.f.Stat(c.ctx, "a/short")
	return errors.Join(
		expect("a put with too little data", short, io.ErrUnexpectedEOF),
		expect("what it left", err, fs.ErrNotExist),
		c.f.Remove(c.ctx, odd),
	)
}

// versions replaces an object.
func (c check) versions() error {
	if err := c.put("v", "first", bucket.Create); err != nil {
		return err
	}
	first, err := c.f.Stat(c.ctx, "v")
	if err != nil {
		return err
	}
	again := expect("a second create", c.put("v", "other", bucket.Create), fs.ErrExist)
	p := make([]byte, 5)
	if err := c.f.ReadAt(c.ctx, "v", first.Version, p, 0); err != nil || string(p) != "first" {
		return errors.Join(again, fmt.Errorf("the first one reads as %q, %w", p, err))
	}
	if err := errors.Join(c.put("v", "second", bucket.Replace), c.put("w", "first", bucket.Create)); err != nil {
		return err
	}
	// Of an object that was not read before: a cache may still have that version.
	gone, err := c.f.Stat(c.ctx, "w")
	if err == nil {
		err = c.put("w", "other", bucket.Replace)
	}
	if err != nil {
		return err
	}
	changed := c.f.ReadAt(c.ctx, "w", gone.Version, p, 0)
	second, err := c.f.Stat(c.ctx, "v")
	if err == nil && second.Version == first.Version {
		err = fmt.Errorf("two contents have the version %s", first.Version)
	}
	return errors.Join(again, err, expect("a read of a version that is gone", changed, bucket.ErrChanged),
		c.f.Remove(c.ctx, "v"), c.f.Remove(c.ctx, "w"))
}

// names collects a listing.
func names(list iter.Seq2[bucket.Info, error]) ([]string, error) {
	var all []string
	for info, err := range list {
		if err != nil {
			return all, err
		}
		if info.Folder {
			info.Name += "/"
		}
		all = append(all, info.Name)
	}
	return all, nil
}

// listing lists objects, whose names are in an order that walking folders does
// not give by itself.
func (c check) listing() error {
	objects := []string{"train/a-b/1", "train/a/2", "train/a/3", "train/a0", "train/b", "trainer", "z/deep/er/x"}
	for _, name := range objects {
		if err := c.put(name, name, bucket.Create); err != nil {
			return err
		}
	}
	var errs []error
	for _, want := range []struct {
		folder string
		deep   bool
		names  []string
	}{
		{"", true, objects},
		{"", false, []string{"train/", "trainer", "z/"}},
		{"train", true, objects[:5]},
		{"train", false, []string{"train/a-b/", "train/a/", "train/a0", "train/b"}},
		{"train/a", false, []string{"train/a/2", "train/a/3"}},
		{"z", false, []string{"z/deep/"}},
		{"trai", true, nil},
		{"absent", false, nil},
	} {
		got, err := names(c.f.List(c.ctx, want.folder, want.deep))
		if err != nil || !slices.Equal(got, want.names) {
			errs = append(errs, fmt.Errorf("listing %q (deep %t) gives %q, %s, want %q", want.folder, want.deep, got, fmt.Sprint(err), want.names))
		}
	}
	for info, err := range c.f.List(c.ctx, "", true) {
		if err != nil || info.Size != int64(len(info.Name)) {
			errs = append(errs, fmt.Errorf("listed as %+v, %s", info, fmt.Sprint(err)))
		}
		break // and no more is asked for
	}
	for _, name := range objects {
		errs = append(errs, c.f.Remove(c.ctx, name))
	}
	return errors.Join(errs...)
}

// creators has several make one object at once: one wins.
func (c check) creators() error {
	const creators = 8
	var failures [creators]error
	var all sync.WaitGroup
	for i := range failures {
		all.Go(func() { failures[i] = c.put("claim", fmt.Sprint(i), bucket.Create) })
	}
	all.Wait()
	winner := slices.Index(failures[:], nil)
	p := make([]byte, 1)
	err := c.f.ReadAt(c.ctx, "claim", "", p, 0)
	if winner < 0 || err != nil || string(p) != fmt.Sprint(winner) {
		return fmt.Errorf("number %d won and %q is there (%w): %v", winner, p, err, failures)
	}
	for i, err := range failures {
		if i != winner {
			if err := expect("a create that lost", err, fs.ErrExist); err != nil {
				return err
			}
		}
	}
	return c.f.Remove(c.ctx, "claim")
}
