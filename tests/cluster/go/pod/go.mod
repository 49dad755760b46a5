module fastchat.io/tests/cluster/pod

go 1.24.0
