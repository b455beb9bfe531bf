//go:build !gcs

package cloud

import (
	"context"
	"errors"
	"net/url"
)

// openGS says how to get what this build lacks.
func openGS(context.Context, *url.URL) (*store, string, error) {
	return nil, "build it with -tags gcs", errors.New("this program was built without Google Cloud Storage")
}
