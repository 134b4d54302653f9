# zsh -f completion.zsh FOLDER LINE WORD: an interactive zsh offers WORD for the unfinished LINE.
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "fpath=($1 \$fpath); autoload -Uz compinit; compinit -u -D; bindkey '^I' list-choices; echo REA''DY"
zpty -r shell shown '*READY*'
zpty -w -n shell "$2"$'\t'
zpty -r shell shown "*$3*"
zpty -d shell
