package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"alexnet/model/gpu/device"
)

// peaks measures what large products of matrices do, in operations a second: what the
// arithmetic of a step is compared with.
func (s *site) peaks(ctx context.Context, r *recorder) map[string]float64 {
	peaks := map[string]float64{}
	if s.library == nil {
		return peaks
	}
	side := 8192
	if s.standsIn {
		side = 16
	}
	for _, p := range s.precisions {
		name := fmt.Sprintf("product of %d x %d matrices, %s", side, side, p)
		r.failing(name, func() error {
			rate, err := s.productRate(ctx, arithmeticOf(p), side)
			if err != nil {
				return err
			}
			peaks[p] = rate
			r.measure(name, rate/1e12, "TFLOP/s", "")
			return nil
		})
	}
	return peaks
}

// arithmeticOf returns a precision as libraries name it.
func arithmeticOf(precision string) device.Arithmetic {
	switch precision {
	case tf32:
		return device.TensorFloat32
	case bf16:
		return device.BFloat16
	}
	return device.Float32
}

// productRate returns the operations a second of a product of square matrices of noise.
func (s *site) productRate(ctx context.Context, a device.Arithmetic, side int) (rate float64, err error) {
	stream, err := s.device.NewStream()
	if err != nil {
		return 0, err
	}
	defer func() {
		err = errors.Join(err, stream.Sync())
		s.library.Forget(stream)
		err = errors.Join(err, stream.Close())
	}()
	bytes := side * side * a.Bytes()
	var at [3]device.Ptr
	for i := range at {
		if at[i], err = s.device.Alloc(bytes); err != nil {
			return 0, err
		}
		defer func() { err = errors.Join(err, stream.Sync(), s.device.Release(at[i])) }()
	}
	if err := s.fillNoise(stream, a, bytes, at[:2]); err != nil {
		return 0, err
	}
	p := device.Product{Arithmetic: a, M: side, N: side, K: side}
	const burst = 8
	t, err := timeSteps(ctx, burst, s.pace(100*time.Millisecond), func() error {
		for range burst {
			if err := s.library.Product(stream, p, at[2], at[0], at[1]); err != nil {
				return err
			}
		}
		return stream.Sync()
	})
	n := float64(side)
	return t.median * 2 * n * n * n, err
}

// fillNoise fills matrices with numbers of about one: zeros would be multiplied with less
// power, and so faster.
func (s *site) fillNoise(stream device.Stream, a device.Arithmetic, bytes int, at []device.Ptr) (err error) {
	piece := min(bytes, 1<<22)
	host, err := s.device.AllocHost(piece)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.device.ReleaseHost(host)) }()
	newNoise(5).fill(host[:piece])
	for i := a.Bytes() - 1; i < piece; i += a.Bytes() {
		host[i] = host[i]&0x80 | 0x3f // sign and most of the exponent of a number in 0.5..2
		host[i-1] |= 0x20
	}
	for _, p := range at {
		for from := 0; from < bytes; from += piece {
			if err := stream.CopyIn(p.Add(from), host[:min(piece, bytes-from)]); err != nil {
				return err
			}
		}
	}
	return stream.Sync()
}
