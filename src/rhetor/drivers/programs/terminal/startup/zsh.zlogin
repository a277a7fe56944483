# Read only if .zshrc has not restored ZDOTDIR already.
ZDOTDIR=${RHETOR_ZDOTDIR:-$HOME}
[[ -r $ZDOTDIR/.zlogin ]] && . "$ZDOTDIR/.zlogin"
unset RHETOR_ZDOTDIR RHETOR_ZSH_FOLDER
