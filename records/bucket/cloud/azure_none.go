//go:build !azblob

package cloud

import (
	"context"
	"errors"
	"net/url"
)

// openAzure says how to get what this build lacks.
func openAzure(context.Context, *url.URL) (*store, string, error) {
	return nil, "build it with -tags azblob", errors.New("this program was built without Azure Blob Storage")
}
