# Only read where .zshrc did not give the folder back already.
ZDOTDIR=${RHETOR_ZDOTDIR:-$HOME}
[[ -r $ZDOTDIR/.zlogin ]] && . "$ZDOTDIR/.zlogin"
unset RHETOR_ZDOTDIR RHETOR_ZSH_FOLDER
