// Package stores is how the commands open object stores. Libraries take a
// bucket.Folder instead, so that neither they nor their tests carry the stores'
// SDKs; only package main may import this one.
package stores

import (
	"context"

	"alexnet/records/bucket"
	"alexnet/records/bucket/cloud"
	"alexnet/tools/cli"
)

// IsURL says whether s, a value of --src, --out or --records, is meant as a URL
// (s3://bucket/prefix, file:///folder) and not as a path of this machine. It does
// not say that Open knows the scheme.
func IsURL(s string) bool { return cloud.IsURL(s) }

// Local refuses a URL as the value of a flag that names a folder or a file of this machine,
// where it would make one of that name.
func Local(flag, value string) error {
	if IsURL(value) {
		return cli.Usagef("%s %s: this must be on this machine, not a URL", flag, value)
	}
	return nil
}

// Open opens the folder of a store that a URL names: s3:// with the parameters
// region, endpoint, use_path_style, anonymous and profile, file:///folder, and gs://
// and azblob:// in builds with the tags gcs and azblob. Requests are tried again for
// some minutes at most. Nothing is asked of the store yet, and the folder need not
// exist; missing credentials are an error here. The caller closes the Folder.
func Open(ctx context.Context, url string) (bucket.Folder, error) {
	return cloud.Open(ctx, url, cloud.Options{})
}
