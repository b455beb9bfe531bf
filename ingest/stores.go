package main

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"

	"alexnet/records"
	"alexnet/tools/cli"
	"alexnet/tools/stores"
)

// openStore opens the object store that --out names, if it does. The function
// that it returns closes it.
func (f *flags) openStore(ctx context.Context) (end func() error, err error) {
	if !stores.IsURL(f.Out) {
		if f.Scratch != "" {
			return nil, &cli.UsageError{Err: errors.New("--scratch is for an --out in an object store; shards are written to their place in a folder")}
		}
		return func() error { return nil }, nil
	}
	if err := stores.Local("--scratch", f.Scratch); err != nil {
		return nil, err
	}
	if f.store, err = stores.Open(ctx, f.Out); err != nil {
		return nil, err
	}
	return f.store.Close, nil
}

// openMean opens the records that lend their mean picture, which it reads at once.
func openMean(ctx context.Context, name string) (*records.Dataset, error) {
	ds, done, err := stores.Records(ctx, name, stores.Cache{}, false, io.Discard)
	return ds, errors.Join(err, done())
}

// outName is the output in messages.
func (f *flags) outName() string {
	if f.store != nil {
		return f.store.Name()
	}
	return f.Out
}

// outFile is a file of the output in messages.
func (f *flags) outFile(name string) string {
	if f.store != nil {
		return f.store.Name() + "/" + name
	}
	return filepath.Join(f.Out, name)
}

// outValue is the output as it can be pasted behind a flag. Only a URL may hold
// what a shell reads otherwise.
func (f *flags) outValue() string {
	switch {
	case f.store == nil:
		return strings.TrimRight(f.Out, "/") + "/"
	case strings.ContainsAny(f.Out, "?&*;$ ()"):
		return "'" + f.Out + "'"
	}
	return f.Out
}
