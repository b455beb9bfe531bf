//go:build !unix

package main

import "context"

// untilTold returns a context like the given one: there is no such signal here.
func untilTold(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithCancel(ctx)
}
