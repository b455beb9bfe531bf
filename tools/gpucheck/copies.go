package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"alexnet/model/gpu/device"
	"alexnet/tools/cli"
)

// copies measures copying to the device, from page-locked memory and from ordinary, which
// has to go through a page-locked buffer; and back.
func copies(ctx context.Context, s *site, r *recorder) (err error) {
	if s.device == nil {
		r.skip("copies", "there is no device")
		return nil
	}
	sizes := []int{64 << 10, 1 << 20, 16 << 20, 256 << 20}
	if s.standsIn {
		sizes = []int{4 << 10}
	}
	largest := sizes[len(sizes)-1]
	stream, err := s.device.NewStream()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stream.Close()) }()
	at, err := s.device.Alloc(largest)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stream.Sync(), s.device.Release(at)) }()
	pinned, err := s.device.AllocHost(largest)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stream.Sync(), s.device.ReleaseHost(pinned)) }()
	ordinary := make([]byte, largest)
	newNoise(7).fill(pinned[:largest])
	newNoise(7).fill(ordinary)
	for _, size := range sizes {
		for _, c := range []struct {
			what string
			copy func() error
		}{
			{"page-locked to device", func() error { return stream.CopyIn(at, pinned[:size]) }},
			{"ordinary to device, through page-locked", func() error { return throughPinned(stream, at, ordinary[:size], pinned) }},
			{"device to page-locked", func() error { return stream.CopyOut(pinned[:size], at) }},
		} {
			if err := ctx.Err(); err != nil {
				return err
			}
			name := fmt.Sprintf("%s, %s KiB", c.what, cli.FormatCount(int64(size>>10)))
			r.failing(name, func() error {
				const burst = 4
				t, err := timeSteps(ctx, burst, s.pace(60*time.Millisecond), func() error {
					for range burst {
						if err := c.copy(); err != nil {
							return err
						}
					}
					return stream.Sync()
				})
				if err != nil {
					return err
				}
				r.measure(name, t.median*float64(size)/1e9, "GB/s", "")
				return nil
			})
		}
	}
	return nil
}

// throughPinned copies ordinary memory by way of a page-locked buffer, and waits, as it
// must before the buffer is written again.
func throughPinned(s device.Stream, to device.Ptr, from, pinned []byte) error {
	n := copy(pinned, from)
	return errors.Join(s.CopyIn(to, pinned[:n]), s.Sync())
}
