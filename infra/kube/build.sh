#!/bin/sh
# What `infra.kube.cluster` starts, built from source with Go alone into the directory that is named: some ten
# minutes on two free cores, half an hour on busy ones, 0.7 GB of binaries and 4 GB of caches.
set -eu
bin=$(mkdir -p "$1" && cd "$1" && pwd)
kubernetes=1.37.2 etcd=3.7.3 kwok=0.8.0 helm=4.3.1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Their go.mod have `replace` lines, which `go install` refuses: a module of our own repeats them.
mkdir "$work/etcd" && cd "$work/etcd"
go mod init own
go get "go.etcd.io/etcd/server/v3@v$etcd"
GOFLAGS=-mod=mod go build -trimpath -ldflags '-s -w' -o "$bin/etcd" go.etcd.io/etcd/server/v3

mkdir "$work/kubernetes" && cd "$work/kubernetes"
go mod init own
go mod edit "-require=k8s.io/kubernetes@v$kubernetes"
theirs=$(go mod download -json "k8s.io/kubernetes@v$kubernetes" | sed -n 's/.*"GoMod": "\(.*\)",/\1/p')
grep -oE 'k8s.io/[a-z-]+ v0\.0\.0$' "$theirs" | cut -d' ' -f1 | sort -u | while read -r module; do
  go mod edit "-replace=$module=$module@v0.${kubernetes#1.}"
done
export GOFLAGS=-mod=mod
go get "k8s.io/kubernetes/cmd/kube-apiserver@v$kubernetes"
of=k8s.io/component-base/version
flags="-s -w -X $of.gitVersion=v$kubernetes -X $of.gitMajor=1 -X $of.gitMinor=37"
for command in kube-apiserver kube-controller-manager kube-scheduler kubectl; do
  go build -trimpath -ldflags "$flags" -o "$bin/$command" "k8s.io/kubernetes/cmd/$command"
done

export GOFLAGS=-trimpath GOBIN="$bin"
go install "sigs.k8s.io/kwok/cmd/kwok@v$kwok"
go install "helm.sh/helm/v4/cmd/helm@v$helm"
