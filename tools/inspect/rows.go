package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
)

// rowsCommand lists the rows of a split.
type rowsCommand struct {
	Dir   string `arg:"" help:"Folder that ingest wrote, or its URL (s3://bucket/out)."`
	Split string `default:"train" help:"Split to list."`
	JSON  bool   `name:"json" help:"One JSON object a row."`
}

// listedRow is a row as --json prints it.
type listedRow struct {
	Key      string `json:"key"`
	Label    int32  `json:"label"`
	ILSVRCID int32  `json:"ilsvrc_id,omitempty"`
	// Source is the XXH3-64 of the picture's file, as xxhsum -H3 prints it.
	Source string `json:"source_xxh3"`
	Shard  string `json:"shard"`
	Row    int    `json:"row"` // within the shard
}

// Help returns what --help shows besides the flags.
func (*rowsCommand) Help() string {
	return "Examples:\n  inspect rows out/ --split val\n  inspect rows out/ --json | head -3"
}

// Run prints a line a row, in stored order.
func (c *rowsCommand) Run(ctx context.Context, stdout io.Writer) (err error) {
	_, split, done, err := openSplit(ctx, c.Dir, c.Split)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	out := bufio.NewWriter(stdout)
	defer func() {
		if err == nil { // else it may be what Flush would say again
			err = out.Flush()
		}
	}()
	encode := json.NewEncoder(out)
	for i := range split.Len() {
		if err := ctx.Err(); err != nil {
			return err
		}
		row, err := split.Head(i)
		if err != nil {
			return err
		}
		l := listedRow{Key: row.Key, Label: row.Label, ILSVRCID: row.ILSVRCID, Source: fmt.Sprintf("%016x", row.SourceXXH3)}
		if l.Shard, l.Row, err = split.Locate(i); err != nil {
			return err
		}
		if c.JSON {
			err = encode.Encode(l)
		} else {
			_, err = fmt.Fprintf(out, "%s\t%d\t%d\t%s\t%d\t%s\n", oneField(l.Key), l.Label, l.ILSVRCID, l.Shard, l.Row, l.Source)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// oneField returns a key as one field of a line: a file may have a tab or a line's end in
// its name.
func oneField(key string) string {
	if strings.ContainsFunc(key, unicode.IsControl) {
		return strconv.Quote(key)
	}
	return key
}
