package convert

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/zeebo/xxh3"

	"alexnet/ingest/decode"
	"alexnet/ingest/resize"
	"alexnet/ingest/source"
)

// task is a picture on its way through a worker.
type task struct {
	ctx  context.Context
	item *source.Item
	done chan struct{} // gets a value when the worker is done with it

	ahead *fetched // its file, nil if that is still to be read
	square
	sha256 string // of the file's bytes, where the file is rejected or damaged and could be read
	damage error  // what is wrong with a picture that is taken all the same, nil for a sound one
	err    error  // *decode.Error for a picture to reject; anything else stops the job
}

// square is a prepared picture.
type square struct {
	pixels        []uint8 // planar
	width, height int     // of the original
	xxh3          uint64  // of the file's bytes
}

// maker makes squares of files. Each worker and the first lane have one.
type maker struct {
	job   *job
	dec   decode.Decoder
	scale resize.Resizer
	file  []byte // memory for the file's bytes
}

// decodeBytes bounds what the giants among the pictures take while they are
// decoded, all workers together: enough for 100 megapixels of the usual
// progressive kind, and little enough for the whole command to stay below
// 600 MB.
const decodeBytes = 432 << 20

func newMaker(j *job) *maker {
	return &maker{
		job: j,
		dec: decode.Decoder{
			Limits: j.cfg.Limits, KeepTruncated: j.cfg.KeepTruncated, ExifRotate: j.cfg.ExifRotate,
			Enough: 2 * j.cfg.Size, Budget: j.giants,
		},
		scale: resize.Resizer{Options: j.cfg.Resize},
	}
}

// do does a task.
func (m *maker) do(t *task) {
	t.err = m.make(t)
	m.job.ahead.done(t)
	t.done <- struct{}{}
}

// make reads, decodes and scales the file of a task. An error is for the task
// to keep.
func (m *maker) make(t *task) error {
	if err := t.ctx.Err(); err != nil {
		return err
	}
	if kept, ok := m.job.squares.LoadAndDelete(t.item); ok {
		sq := kept.(square)
		copy(t.pixels, sq.pixels)
		t.width, t.height, t.xxh3 = sq.width, sq.height, sq.xxh3
		return nil
	}
	m.job.files.Add(1)
	if t.item.Size > source.MaxImageBytes {
		return &decode.Error{Reason: decode.TooLarge, Err: fmt.Errorf("the file has %d bytes, the limit is %d", t.item.Size, source.MaxImageBytes)}
	}
	data, err := m.read(t)
	if err != nil {
		return err
	}
	read := time.Now()
	t.xxh3 = xxh3.Hash(data)
	img, err := m.dec.Decode(data)
	decoded := time.Now()
	m.job.times.decode.Add(int64(decoded.Sub(read)))
	if err == nil {
		t.damage = m.job.cfg.damage(img)
		t.width, t.height = img.SourceW, img.SourceH
		err = m.scale.Square(t.pixels, img, m.job.cfg.Size)
		m.job.times.resize.Add(int64(time.Since(decoded)))
	}
	if err != nil || t.damage != nil {
		sum := sha256.Sum256(data)
		t.sha256 = hex.EncodeToString(sum[:])
	}
	return err
}

// read gives the bytes of a task's file, until the worker is done with the task.
func (m *maker) read(t *task) ([]byte, error) {
	if t.ahead != nil {
		return t.ahead.data, t.ahead.err
	}
	data, err := m.job.read(t.ctx, t.item, m.file)
	if err == nil {
		m.file = data
	}
	return data, err
}

// reject returns the line of rejects.jsonl that a task's error stands for, nil
// if there is no error, and the error itself where it is not the picture's
// fault.
func (t *task) reject(split string) (*Reject, error) {
	var e *decode.Error
	switch {
	case t.err == nil:
		return nil, nil
	case errors.As(t.err, &e):
		return t.line(split, e), nil
	}
	return nil, t.err
}

// line describes a file that is rejected or damaged.
func (t *task) line(split string, why error) *Reject {
	r := &Reject{Split: split, Key: t.item.Key, Reason: decode.Truncated, Message: why.Error(), Bytes: t.item.Size, SHA256: t.sha256}
	var e *decode.Error
	if errors.As(why, &e) {
		r.Reason, r.Message = e.Reason, e.Err.Error()
	}
	return r
}
