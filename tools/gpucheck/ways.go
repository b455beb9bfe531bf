package main

import (
	"context"
	"errors"
	"fmt"

	"alexnet/model"
	"alexnet/model/gpu/device"
	"alexnet/model/gpu/nvidia"
)

// otherWays measures training in ways that train does not go. Does one prove to be faster,
// then train is to go it; so they do not count.
func (s *site) otherWays(ctx context.Context, r *recorder, net *model.Net, name string, o settings, p pace) {
	one := func(way string, o settings) {
		name := name + ", " + way
		r.failing(name, func() error {
			t, about, err := s.syntheticSpeed(ctx, net, o, p)
			if err != nil {
				return err
			}
			r.add(result{What: name, Status: measured, Value: t.median, Unit: "images/s", StepMS: t.stepMS(o.batch),
				Slowest: t.slowest, Fastest: t.fastest, Note: about})
			return nil
		})
	}
	dense := o
	dense.dense = true
	one("groups made of zeros", dense)
	if s.measuring == nil {
		return
	}
	const way = "algorithms chosen by running them"
	r.failing(name+", "+way, func() error {
		l, err := s.measuring()
		if err != nil {
			return err
		}
		o.library = l
		one(way, o)
		dense.library = l
		one(way+", groups made of zeros", dense)
		return l.Close()
	})
}

// measuring opens the libraries of a GPU once more, to choose algorithms by running them.
func measuring(d device.Device) (device.Library, error) {
	bound, ok := d.(interface{ Do(f func() error) error })
	if !ok {
		return nil, errors.New("the device does not lend its thread")
	}
	l, err := nvidia.Open(nvidia.Options{Bind: bound.Do, Device: d, Measure: true})
	if err != nil {
		return nil, fmt.Errorf("opening the libraries once more: %w", err)
	}
	return l, nil
}
